package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

func (c *checker) duration(k *key, n *node, field reflect.Value) {
	path := k.path
	if n.kind != isString {
		suggestion := ""
		if n.kind == isInteger || n.kind == isFloat {
			suggestion = fmt.Sprintf("write %q, if seconds are meant", n.text+"s")
		}
		c.wrongType(k, n, suggestion)
		return
	}
	d, err := time.ParseDuration(n.text)
	if err != nil {
		suggestion := fmt.Sprintf("write for example %s = %s", leaf(path), k.sample())
		if right, ok := repairDuration(n.text); ok {
			suggestion = fmt.Sprintf("did you mean %q?", right)
		}
		c.complain(n.at, path, suggestion, "%s: %q is not a duration: want numbers with units, of h, m, s, ms", path, n.text)
		return
	}
	if c.within(k, n, int64(d), func(v int64, _ int) string { return showDuration(time.Duration(v)) }) {
		field.SetInt(int64(d))
	}
}

// showDuration writes 24h as "24h", not "24h0m0s".
func showDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

var durationPart = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([a-zµ]*)`)

// repairDuration reads what people write in other files: "10", "10 sec",
// "1 day".
func repairDuration(text string) (string, bool) {
	rest := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text)), " ", "")
	var b strings.Builder
	for rest != "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return "", false
		}
		rest = rest[len(m[0]):]
		unit, ok := durationUnits[m[2]]
		if !ok {
			return "", false
		}
		if unit == "d" {
			days, err := time.ParseDuration(m[1] + "h")
			if err != nil || days > 1000*time.Hour {
				return "", false
			}
			b.WriteString(showDuration(24 * days))
			continue
		}
		b.WriteString(m[1] + unit)
	}
	_, err := time.ParseDuration(b.String())
	return b.String(), err == nil
}

var durationUnits = map[string]string{
	"": "s", "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"ms": "ms", "msec": "ms", "msecs": "ms", "millisecond": "ms", "milliseconds": "ms",
	"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
	"d": "d", "day": "d", "days": "d",
}
