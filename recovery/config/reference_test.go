package config

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// Reference writes the schemas as the tables of docs/configuration.md, one for
// each heading.
func Reference() (string, error) {
	docs, err := comments("file.go", "service.go", "logd.go")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, t := range []struct {
		heading string
		schema  *schema
	}{{"Outside services", fileSchema}, {"`[[service]]`", serviceSchema}, {"The file of `ftnet logd`", logdSchema}} {
		fmt.Fprintf(&b, "\n### %s\n\n| key | type | default | a change | meaning |\n|---|---|---|---|---|\n", t.heading)
		for i := range t.schema.keys {
			k := &t.schema.keys[i]
			doc := docs[t.schema == logdSchema][k.path]
			if k.kind == aLimit {
				doc = comment{k.doc, "that of ftnet"}
			} else if doc.meaning == "" {
				return "", fmt.Errorf("%s has no comment", k.path)
			}
			what := k.typeText()
			if t.schema.table(k.path) {
				what += ", or a table"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.path, what, k.defaultText(doc.def), effects[k.effect], doc.meaning)
		}
	}
	return b.String()[1:], nil
}

// comment is what stands above a field.
type comment struct{ meaning, def string }

// comments reads them by the keys of the fields: those of a log server, and all others.
func comments(files ...string) (map[bool]map[string]comment, error) {
	out := map[bool]map[string]comment{true: {}, false: {}}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || f.Tag == nil || f.Doc == nil {
				return true
			}
			text, _ := strconv.Unquote(f.Tag.Value)
			meaning, def, _ := strings.Cut(strings.Join(strings.Fields(f.Doc.Text()), " "), " Default: ")
			out[name == "logd.go"][reflect.StructTag(text).Get("toml")] = comment{strings.TrimSuffix(meaning, "."), strings.TrimSuffix(def, ".")}
			return true
		})
	}
	return out, nil
}

var effects = map[effect]string{atOnce: "at once", restart: "restarts the service", renew: "another service", engine: "restart ftnet"}

// typeText says what the key takes, with unit and range.
func (k *key) typeText() string {
	bounds := func(show func(int64) string) string {
		switch {
		case k.min == 0 && k.max == 0:
			return ""
		case k.max == largest:
			return ", from " + show(k.min)
		}
		return ", " + show(k.min) + " to " + show(k.max)
	}
	switch k.kind {
	case aChoice:
		return "`\"" + strings.Join(k.choices, "\"`, `\"") + "\"`"
	case aBoolean:
		return "`true`, `false`"
	case anInteger:
		return "integer" + bounds(func(v int64) string { return fmt.Sprint(v) })
	case aDuration:
		return "duration" + bounds(func(v int64) string { return showDuration(time.Duration(v)) })
	case aSize:
		return "size" + bounds(func(v int64) string { return bytesize.Size(v).Exact() })
	case aList:
		return "list of " + cmp.Or(k.unit, "strings")
	case aMap:
		return "table of strings"
	case aSignal:
		return "signal"
	case aLimit:
		switch k.unit {
		case "bytes":
			return "limit in bytes (size)"
		case "seconds":
			return "limit in seconds (integer or duration)"
		}
		return "limit (a number)"
	}
	return cmp.Or(k.unit, "string")
}

func (k *key) defaultText(said string) string {
	switch {
	case k.needed:
		return "required"
	case k.def != "":
		return "`" + k.written(k.def) + "`"
	}
	return cmp.Or(said, "none")
}
