package config

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// Reference writes the schemas as the tables of docs/configuration.md, one for
// each heading.
func Reference() string {
	var b strings.Builder
	b.WriteString("### Outside services\n\n")
	writeTable(&b, fileKeys)
	b.WriteString("\n### `[[service]]`\n\n")
	writeTable(&b, serviceKeys)
	b.WriteString("\n### The file of `ftnet logd`\n\n")
	writeTable(&b, logdKeys)
	return b.String()
}

func writeTable[T any](b *strings.Builder, keys []key[T]) {
	b.WriteString("| key | type | default | a change | meaning |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		what := k.typeText()
		if hasTable(keys, k.path) {
			what += ", or a table"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.path, what, k.defaultText(), effects[k.effect], k.doc)
	}
}

var effects = map[effect]string{atOnce: "at once", restart: "restarts the service", renew: "another service", engine: "restart ftnet"}

// typeText says what the key takes, with unit and range.
func (s spec) typeText() string {
	bounds := func(show func(int64) string) string {
		switch {
		case s.min == 0 && s.max == 0:
			return ""
		case s.max == largest:
			return ", from " + show(s.min)
		}
		return ", " + show(s.min) + " to " + show(s.max)
	}
	switch s.kind {
	case aChoice:
		return "`\"" + strings.Join(s.choices, "\"`, `\"") + "\"`"
	case aBoolean:
		return "`true`, `false`"
	case anInteger:
		return "integer" + bounds(func(v int64) string { return fmt.Sprint(v) })
	case aDuration:
		return "duration" + bounds(func(v int64) string { return showDuration(time.Duration(v)) })
	case aSize:
		return "size" + bounds(func(v int64) string { return bytesize.Size(v).Exact() })
	case aList:
		return "list of " + cmp.Or(s.unit, "strings")
	case aMap:
		return "table of strings"
	case aSignal:
		return "signal"
	case aLimit:
		switch s.unit {
		case "bytes":
			return "limit in bytes (size)"
		case "seconds":
			return "limit in seconds (integer or duration)"
		}
		return "limit (a number)"
	}
	return cmp.Or(s.unit, "string")
}

func (s spec) defaultText() string {
	switch {
	case s.needed:
		return "required"
	case s.def != "":
		return "`" + s.def + "`"
	case s.defText != "":
		return s.defText
	}
	return "none"
}
