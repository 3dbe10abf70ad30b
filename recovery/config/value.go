package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// decodeValue enters a value of the file where the field points.
func (c *checker) decodeValue(k *key, n *node, field reflect.Value) {
	path := k.path
	switch k.kind {
	case aString, aChoice, aSignal:
		if n.kind != isString {
			suggestion := quoted(n)
			if k.def != "" || k.kind != aString { // nearly any string would be wrong
				suggestion = ""
			}
			c.wrongType(k, n, suggestion)
			return
		}
		c.text(k, n, field)
	case aBoolean:
		if n.kind != isBool {
			c.wrongType(k, n, "")
			return
		}
		field.SetBool(n.text == "true")
	case anInteger:
		v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64)
		switch {
		case n.kind != isInteger:
			c.wrongType(k, n, unquoted(n))
		case err != nil:
			c.complain(n.at, path, "", "%s: %s is too large", path, n.text)
		case c.within(k, n, v, strconv.FormatInt):
			field.SetInt(v)
		}
	case aDuration:
		c.duration(k, n, field)
	case aSize:
		c.size(k, n, field)
	case aList:
		c.stringList(k, n, field)
	case aMap:
		c.stringMap(k, n, field)
	case aLimit:
		c.limit(k, n, field)
	}
}

func (c *checker) limit(k *key, n *node, field reflect.Value) {
	if n.kind != isString && n.kind != isInteger {
		c.wrongType(k, n, "")
		return
	}
	l, problem := parseLimit(strings.ReplaceAll(n.text, "_", ""), k.unit)
	if problem != "" {
		suggestion := fmt.Sprintf("write for example %s = %s", leaf(k.path), k.sample())
		if n.text == "-1" {
			suggestion = `did you mean "unlimited"?`
		}
		c.complain(n.at, k.path, suggestion, "%s: %s", k.path, problem)
		return
	}
	if field.IsNil() {
		field.Set(reflect.ValueOf(Limits{}))
	}
	field.SetMapIndex(reflect.ValueOf(leaf(k.path)), reflect.ValueOf(l))
}

// text decodes what is written as a string and is one, or a name.
func (c *checker) text(k *key, n *node, field reflect.Value) {
	switch k.kind {
	case aChoice:
		if !slices.Contains(k.choices, n.text) {
			c.complain(n.at, k.path, didYouMean(n.text, k.choices, ""), "%s wants %s, not %q", k.path, oneOf(k.choices), n.text)
		} else if v, ok := field.Interface().(named); ok {
			field.SetUint(uint64(slices.Index(v.Names(), n.text)))
		} else {
			field.SetString(n.text)
		}
		return
	case aSignal:
		if sig, ok := signal(n.text); ok {
			field.Set(reflect.ValueOf(sig))
			return
		}
		near := didYouMean(strings.TrimPrefix(strings.ToUpper(n.text), "SIG"), signals, "known: "+strings.Join(signals, ", "))
		c.complain(n.at, k.path, near, "%s: %q is not a signal that stops a server", k.path, n.text)
		return
	}
	if strings.ContainsRune(n.text, 0) {
		c.complain(n.at, k.path, "", "%s contains a NUL byte", k.path)
		return
	}
	if v, ok := field.Addr().Interface().(interface{ Set(string) error }); ok {
		if err := v.Set(n.text); err != nil {
			c.complain(n.at, k.path, "write for example "+k.sample(), "%s: %v", k.path, err)
		}
		return
	}
	field.SetString(n.text)
}

// signals are those that may ask a server to stop.
var signals = []string{"ABRT", "HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2", "WINCH"}

func signal(name string) (syscall.Signal, bool) {
	name = strings.TrimPrefix(name, "SIG")
	if !slices.Contains(signals, name) {
		return 0, false
	}
	return unix.SignalNum("SIG" + name), true
}

func (c *checker) size(k *key, n *node, field reflect.Value) {
	path := k.path
	if n.kind != isString && (n.kind != isInteger || strings.HasPrefix(n.text, "-")) {
		c.wrongType(k, n, "")
		return
	}
	text := n.text
	if n.kind == isInteger {
		v, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
		if err != nil {
			c.complain(n.at, path, "", "%s: %s is too large", path, text)
			return
		}
		text = strconv.FormatInt(v, 10)
	}
	size, err := bytesize.Parse(text)
	switch {
	case err != nil:
		c.complain(n.at, path, fmt.Sprintf("write for example %s = %s", leaf(path), k.sample()), "%s: %s", path, err)
	case c.within(k, n, int64(size), func(v int64, _ int) string { return bytesize.Size(v).Exact() }):
		field.SetInt(int64(size))
	}
}

// within checks the bounds of the schema.
func (c *checker) within(k *key, n *node, v int64, show func(int64, int) string) bool {
	if k.min == 0 && k.max == 0 || v >= k.min && v <= k.max {
		return true
	}
	c.complain(n.at, k.path, fmt.Sprintf("between %s and %s", show(k.min, 10), show(k.max, 10)), "%s: %s is out of range", k.path, show(v, 10))
	return false
}

func (c *checker) stringList(k *key, n *node, field reflect.Value) {
	path := k.path
	if n.kind != isArray {
		suggestion := ""
		if n.kind == isString && !strings.ContainsAny(n.text, shellCharacters) {
			words := []string{n.text}
			if slices.Contains([]string{"command", "args"}, leaf(path)) {
				words = strings.Fields(n.text)
			}
			suggestion = fmt.Sprintf("write %s = %s", leaf(path), tomlList(words))
		}
		c.wrongType(k, n, suggestion)
		return
	}
	list := make([]string, 0, len(n.list))
	for _, item := range n.list {
		switch {
		case item.kind != isString:
			c.complain(item.at, path, quoted(item), "%s wants %s; one of them is %s", path, k.wants(), item.kind)
		case strings.ContainsRune(item.text, 0):
			c.complain(item.at, path, "", "%s contains a NUL byte", path)
		default:
			list = append(list, item.text)
		}
	}
	field.Set(reflect.ValueOf(list))
}

func (c *checker) stringMap(k *key, n *node, field reflect.Value) {
	path := k.path
	if n.kind != isTable {
		c.wrongType(k, n, "")
		return
	}
	m := make(map[string]string, len(n.list))
	for _, item := range n.list {
		switch {
		case item.kind != isString:
			c.complain(item.at, path+"."+item.key, quoted(item), "%s.%s wants a string; this is %s", path, item.key, item.kind)
		case strings.ContainsRune(item.text, 0) || strings.ContainsRune(item.key, 0):
			c.complain(item.at, path+"."+item.key, "", "%s contains a NUL byte", path)
		default:
			m[item.key] = item.text
		}
	}
	field.Set(reflect.ValueOf(m))
}

// shellCharacters make a command line more than words.
const shellCharacters = "'\"\\$|&;<>()*?`#~\n"

// tomlList writes strings as TOML does.
func tomlList(words []string) string {
	quoted := make([]string, len(words))
	for i := range words {
		quoted[i] = strconv.Quote(words[i])
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// wrongType says what the key wants.
func (c *checker) wrongType(k *key, n *node, suggestion string) {
	if suggestion == "" && k.sample() != "" {
		suggestion = fmt.Sprintf("write for example %s = %s", leaf(k.path), k.sample())
	}
	c.complain(n.at, k.path, suggestion, "%s wants %s; this is %s", k.path, k.wants(), n.kind)
}

// quoted suggests quotation marks around a scalar.
func quoted(n *node) string {
	if n.kind == isInteger || n.kind == isFloat || n.kind == isBool || n.kind == isDate {
		return fmt.Sprintf("write %q", n.text)
	}
	return ""
}

// unquoted suggests a number without quotation marks.
func unquoted(n *node) string {
	if _, err := strconv.Atoi(n.text); err == nil && n.kind == isString {
		return "write " + n.text + " without quotes"
	}
	return ""
}
