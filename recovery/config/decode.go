package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// checker decodes a document by the schema and gathers what is wrong.
type checker struct {
	*document
	sys     system
	base    string           // directory that relative paths begin at; absolute
	service string           // the service that is looked at, for messages; or empty
	prefix  string           // "service." while one is looked at
	seen    map[string]*node // the keys of what is looked at that are in the file, by path
	label   string           // of the service that was decoded last
	total   *node            // log.quota-total, if the file has it
}

// complain notes that something is wrong at an offset. The path is of the key
// that it is about, within what is looked at.
func (c *checker) complain(offset int, path, suggestion, format string, args ...any) {
	d := Diagnostic{Position: c.position(offset), Service: c.service, Message: fmt.Sprintf(format, args...), Suggestion: suggestion}
	if path != "" {
		d.Key = c.prefix + path
	}
	c.diags = append(c.diags, d)
}

// complainOf is complain at a value that a key of the schema has.
func (c *checker) complainOf(path, suggestion, format string, args ...any) {
	offset := 0
	if n := c.seen[path]; n != nil {
		offset = n.at
	}
	c.complain(offset, path, suggestion, format, args...)
}

// decode enters what a table says into dst. The path is the table's, with a
// dot behind it, or empty.
func (c *checker) decode(s *schema, table *node, path string, dst reflect.Value) {
	for _, n := range table.list {
		name := path + n.key
		k, inner := s.key(name), s.table(name)
		switch {
		case inner && n.kind == isTable:
			c.seen[name] = n
			c.decode(s, n, name+".", dst)
		case k != nil:
			c.seen[name] = n
			if !inner || c.shortForm(s, k, n) {
				c.set(k, n, dst)
			}
		case inner:
			c.complain(n.at, name, tableSample(s, name), "%s wants a table; this is %s", name, n.kind)
		default:
			c.complain(n.name, name, unknown(s, path, n.key), "unknown key %q%s", n.key, inTable(path))
		}
	}
}

// shortForm checks the text that stands for a table.
func (c *checker) shortForm(s *schema, k *key, n *node) bool {
	if n.kind != isString {
		c.complain(n.at, k.path, tableSample(s, k.path), "%s wants %s, or a table; this is %s", k.path, k.wants(), n.kind)
		return false
	}
	for _, inner := range s.keys { // log = "idle"
		if strings.HasPrefix(inner.path, k.path+".") && slices.Contains(inner.choices, n.text) && !slices.Contains(k.choices, n.text) {
			c.complain(n.at, k.path, fmt.Sprintf("write %s = { %s = %q }", k.path, leaf(inner.path), n.text), "%s wants %s, or a table", k.path, k.wants())
			return false
		}
	}
	return true
}

// tableSample shows how a table is written, by its first key.
func tableSample(s *schema, path string) string {
	for _, k := range s.keys {
		if strings.HasPrefix(k.path, path+".") && k.sample() != "" {
			return fmt.Sprintf("write for example %s = { %s = %s }", path, leaf(k.path), k.sample())
		}
	}
	return ""
}

func inTable(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" in %q", strings.TrimSuffix(path, "."))
}

// unknown suggests a key for one that there is not: one of the same table that
// is written nearly so or that other programs call so, else one of another
// table.
func unknown(s *schema, path, name string) string {
	var here []string
	for _, k := range s.keys {
		if rest, ok := strings.CutPrefix(k.path, path); ok {
			if first, _, _ := strings.Cut(rest, "."); !slices.Contains(here, first) {
				here = append(here, first)
			}
		}
	}
	if s == fileSchema && path == "" {
		here = append(here, "service")
	}
	near, isNear := nearest(name, here)
	switch other := called(s, path, name); {
	case isNear && distance(plain(name), plain(near)) <= 1, isNear && other == "":
		return fmt.Sprintf("did you mean %q?", near)
	case other != "":
		return fmt.Sprintf("did you mean %q?", other)
	}
	if k := called(s, "", name); k != "" && path != "" && !strings.Contains(k, ".") {
		return fmt.Sprintf("%q is a key of the service: it belongs above [service.%s]", k, strings.TrimSuffix(path, "."))
	} else if k != "" {
		return fmt.Sprintf("did you mean %q?", k)
	}
	if s == logdSchema { // another file: what it has is of no use here
		return "known here: " + strings.Join(here, ", ")
	}
	if k := called(serviceSchema, "", name); k != "" {
		return fmt.Sprintf("%q belongs below a [[service]]", k)
	}
	if table, k, _ := strings.Cut(called(fileSchema, "", name), "."); k != "" {
		return fmt.Sprintf("%q belongs below [%s]", k, table)
	}
	return "known here: " + strings.Join(here, ", ")
}

// called returns the path of the key below a table that has that name, there
// or with other programs; or nothing.
func called(s *schema, table, name string) string {
	name = plain(name)
	for _, k := range s.keys {
		if strings.HasPrefix(k.path, table) && (leaf(k.path) == name || slices.ContainsFunc(k.also, func(s string) bool {
			return s == name || strings.ReplaceAll(s, "-", "") == name // WorkingDirectory
		})) {
			return k.path
		}
	}
	return ""
}

// set decodes one value.
func (c *checker) set(k *key, n *node, dst reflect.Value) {
	before := len(c.diags)
	c.decodeValue(k, n, k.of(dst))
	if check := checks[k.path]; check != nil && len(c.diags) == before {
		check(c, k.path, n)
	}
}

// fill gives dst its defaults. It runs the tags' own texts through the decoder, so that
// what the reference says is what is meant.
func (s *schema) fill(dst reflect.Value) {
	for i := range s.keys {
		k := &s.keys[i]
		if k.def == "" {
			continue
		}
		c := &checker{document: &document{}}
		if c.decodeValue(k, k.node(k.def), k.of(dst)); len(c.diags) > 0 {
			panic("config: default of " + c.diags.Error())
		}
	}
}

// node is what a flag or a default says, as it would stand in the file. Of a list there
// is one text for each item.
func (k *key) node(texts ...string) *node {
	n := &node{kind: isString, key: k.path, text: texts[0]}
	switch k.kind {
	case aBoolean:
		n.kind = isBool
	case anInteger:
		n.kind = isInteger
	case aList:
		n.kind = isArray
		for _, text := range texts {
			n.list = append(n.list, &node{kind: isString, text: text})
		}
	}
	return n
}

// require complains about keys that must be there and are not, but for some.
func (c *checker) require(s *schema, at int, except ...string) {
	if c.broken { // it may be in what could not be read
		return
	}
	for _, k := range s.keys {
		if k.needed && c.seen[k.path] == nil && !slices.Contains(except, k.path) {
			add := k.sample()
			if len(k.choices) > 0 {
				add = oneOf(k.choices)
			}
			c.complain(at, k.path, fmt.Sprintf("add %s = %s", k.path, add), "%q is missing", k.path)
		}
	}
}
