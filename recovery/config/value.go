package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// decodeValue enters a value of the file where the field points.
func (c *checker) decodeValue(path string, s spec, n *node, field any) {
	switch s.kind {
	case aString, aChoice, aSignal:
		if n.kind != isString {
			suggestion := quoted(n)
			if s.def != "" || s.kind != aString { // nearly any string would be wrong
				suggestion = ""
			}
			c.wrongType(path, s, n, suggestion)
			return
		}
		c.text(path, s, n, field)
	case aBoolean:
		if n.kind != isBool {
			c.wrongType(path, s, n, "")
			return
		}
		*field.(*bool) = n.text == "true"
	case anInteger:
		v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64)
		switch {
		case n.kind != isInteger:
			c.wrongType(path, s, n, unquoted(n))
		case err != nil:
			c.complain(n.at, path, "", "%s: %s is too large", path, n.text)
		case c.within(path, s, n, v, strconv.FormatInt):
			*field.(*int) = int(v)
		}
	case aDuration:
		c.duration(path, s, n, field.(*time.Duration))
	case aSize:
		c.size(path, s, n, field.(*int64))
	case aList:
		c.stringList(path, s, n, field.(*[]string))
	case aMap:
		c.stringMap(path, s, n, field.(*map[string]string))
	case aLimit:
		if n.kind != isString && n.kind != isInteger {
			c.wrongType(path, s, n, "")
			return
		}
		l, problem := parseLimit(strings.ReplaceAll(n.text, "_", ""), s.unit)
		if problem != "" {
			suggestion := fmt.Sprintf("write for example %s = %s", leaf(path), s.sample())
			if n.text == "-1" {
				suggestion = `did you mean "unlimited"?`
			}
			c.complain(n.at, path, suggestion, "%s: %s", path, problem)
			return
		}
		limits := field.(*Limits)
		if *limits == nil {
			*limits = Limits{}
		}
		(*limits)[leaf(path)] = l
	}
}

// text decodes what is written as a string and is one, or a name.
func (c *checker) text(path string, s spec, n *node, field any) {
	switch s.kind {
	case aChoice:
		if !slices.Contains(s.choices, n.text) {
			c.complain(n.at, path, didYouMean(n.text, s.choices, ""), "%s wants %s, not %q", path, oneOf(s.choices), n.text)
			return
		}
	case aSignal:
		sig, ok := signal(n.text)
		if !ok {
			c.complain(n.at, path, didYouMean(strings.TrimPrefix(strings.ToUpper(n.text), "SIG"), signals, "known: "+strings.Join(signals, ", ")), "%s: %q is not a signal that stops a server", path, n.text)
			return
		}
		*field.(*syscall.Signal) = sig
		return
	}
	if strings.ContainsRune(n.text, 0) {
		c.complain(n.at, path, "", "%s contains a NUL byte", path)
		return
	}
	*field.(*string) = n.text
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

func (c *checker) size(path string, s spec, n *node, field *int64) {
	if n.kind != isString && (n.kind != isInteger || strings.HasPrefix(n.text, "-")) {
		c.wrongType(path, s, n, "")
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
		c.complain(n.at, path, fmt.Sprintf("write for example %s = %s", leaf(path), s.sample()), "%s: %s", path, err)
	case c.within(path, s, n, int64(size), func(v int64, _ int) string { return bytesize.Size(v).Exact() }):
		*field = int64(size)
	}
}

// within checks the bounds of the schema.
func (c *checker) within(path string, s spec, n *node, v int64, show func(int64, int) string) bool {
	if s.min == 0 && s.max == 0 || v >= s.min && v <= s.max {
		return true
	}
	c.complain(n.at, path, fmt.Sprintf("between %s and %s", show(s.min, 10), show(s.max, 10)), "%s: %s is out of range", path, show(v, 10))
	return false
}

func (c *checker) stringList(path string, s spec, n *node, field *[]string) {
	if n.kind != isArray {
		suggestion := ""
		if n.kind == isString && !strings.ContainsAny(n.text, shellCharacters) {
			words := []string{n.text}
			if slices.Contains([]string{"command", "args"}, leaf(path)) {
				words = strings.Fields(n.text)
			}
			suggestion = fmt.Sprintf("write %s = %s", leaf(path), tomlList(words))
		}
		c.wrongType(path, s, n, suggestion)
		return
	}
	list := make([]string, 0, len(n.list))
	for _, item := range n.list {
		switch {
		case item.kind != isString:
			c.complain(item.at, path, quoted(item), "%s wants %s; one of them is %s", path, s.wants(), item.kind)
		case strings.ContainsRune(item.text, 0):
			c.complain(item.at, path, "", "%s contains a NUL byte", path)
		default:
			list = append(list, item.text)
		}
	}
	*field = list
}

func (c *checker) stringMap(path string, s spec, n *node, field *map[string]string) {
	if n.kind != isTable {
		c.wrongType(path, s, n, "")
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
	*field = m
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
func (c *checker) wrongType(path string, s spec, n *node, suggestion string) {
	if suggestion == "" && s.sample() != "" {
		suggestion = fmt.Sprintf("write for example %s = %s", leaf(path), s.sample())
	}
	c.complain(n.at, path, suggestion, "%s wants %s; this is %s", path, s.wants(), n.kind)
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
