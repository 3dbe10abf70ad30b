package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is read into a tree that knows where everything stands in the
// file. go-toml's own decoder cannot be used for this: it stops at the first
// value of a wrong type, and what it decodes has no positions, so that a
// duration that is no duration could not be pointed at. Its strict mode
// (DisallowUnknownFields) collects unknown keys only. So the tree is made with
// the parser below that decoder, and the schema decodes it; the tests hold it
// to go-toml's strict mode: whatever that refuses is refused here, unknown
// keys at the same places (and "Listen" for "listen", which go-toml lets pass,
// is refused too).
//
// Package unstable gives no promise of compatibility. It is pinned by go.mod,
// only this file imports it, and what is used of it (expressions, kinds, raw
// ranges of keys and scalars) has stood since version 2.0.

// valueKind is what a value is in TOML.
type valueKind string

const (
	isTable   valueKind = "a table"
	isArray   valueKind = "an array"
	isTables  valueKind = "an array of tables" // made by [[name]]
	isString  valueKind = "a string"
	isInteger valueKind = "an integer"
	isFloat   valueKind = "a float"
	isBool    valueKind = "a boolean"
	isDate    valueKind = "a date or time"
)

// node is a value in the tree, or a table.
type node struct {
	kind valueKind
	text string           // of a scalar: a string's contents, otherwise as it is written
	key  string           // the name of its last key part; empty in an array
	name int              // offset of the key; that of the value in an array
	at   int              // offset of the value; of a table that of its name
	list []*node          // what is in an array or a table, in the file's order
	keys map[string]*node // the same by key, for a table

	closed bool // nothing may be added: an inline table
	header bool // a table that was opened by a [header]
}

// child returns what the key names in a table, or nil.
func (n *node) child(key string) *node { return n.keys[key] }

// add enters what the table does not have yet.
func (n *node) add(c *node) *node {
	if n.keys == nil {
		n.keys = map[string]*node{}
	}
	n.keys[c.key] = c
	n.list = append(n.list, c)
	return c
}

// document is a file's text and tree.
type document struct {
	file   string
	data   []byte
	lines  []int // offsets of the lines' beginnings
	root   *node
	diags  Diagnostics
	broken bool // a syntax error hides the rest of the file
}

// position translates an offset. What does not come from a file has none.
func (d *document) position(offset int) Position {
	if d.lines == nil {
		return Position{File: d.file}
	}
	offset = min(offset, len(d.data))
	line := sort.SearchInts(d.lines, offset+1) // the number of lines that begin at or before it
	return Position{File: d.file, Line: line, Column: offset - d.lines[line-1] + 1}
}

// report notes an error of the language itself.
func (d *document) report(offset int, suggestion, format string, args ...any) {
	d.diags = append(d.diags, Diagnostic{Position: d.position(offset), Message: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// parse reads a document. What precedes a syntax error is in the tree.
func parse(file string, data []byte) *document {
	d := &document{file: file, data: data, lines: []int{0}, root: &node{kind: isTable, header: true}}
	for i, c := range data {
		if c == '\n' && i+1 < len(data) {
			d.lines = append(d.lines, i+1)
		}
	}
	var p unstable.Parser
	p.Reset(data)
	table := d.root
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.open(keys(e), e.Kind == unstable.ArrayTable)
		case unstable.KeyValue:
			d.assign(table, e)
		}
	}
	var wrong *unstable.ParserError
	if err := p.Error(); errors.As(err, &wrong) {
		d.broken = true
		offset := int(p.Range(wrong.Highlight).Offset)
		d.report(offset, d.quote(offset, wrong.Message), "TOML syntax: %s", wrong.Message)
	}
	return d
}

// lastWord asks go-toml about the document as a whole. The parser looks at one
// expression at a time; what an expression may not do to those before it is
// found by open and assign, all of it at once. Should they let something pass,
// this finds it.
func (d *document) lastWord() {
	err := toml.Unmarshal(d.data, new(map[string]any))
	if err == nil {
		return
	}
	at := Position{File: d.file, Line: 1, Column: 1}
	var where *toml.DecodeError
	if errors.As(err, &where) {
		at.Line, at.Column = where.Position()
	}
	d.diags = append(d.diags, Diagnostic{Position: at, Message: err.Error()})
}

// quote suggests quotation marks around a bare word such as 10s.
func (d *document) quote(offset int, message string) string {
	end := offset
	word := func(c byte) bool {
		return c == '.' || c == '-' || c == '_' || c == '/' || c == ':' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if message != "strings must be quoted" && !strings.HasSuffix(message, "at start of value") && !strings.HasPrefix(message, "expected keyword") {
		return ""
	}
	for offset > 0 && word(d.data[offset-1]) {
		offset--
	}
	for end < len(d.data) && word(d.data[end]) {
		end++
	}
	if offset == end {
		return ""
	}
	return fmt.Sprintf("write \"%s\"", d.data[offset:end])
}

// part is one part of a dotted key.
type part struct {
	name   string
	offset int
	end    int
}

// keys returns the parts of an expression's key.
func keys(e *unstable.Node) []part {
	var parts []part
	for it := e.Key(); it.Next(); {
		n := it.Node()
		parts = append(parts, part{string(n.Data), int(n.Raw.Offset), int(n.Raw.Offset + n.Raw.Length)})
	}
	return parts
}

// value copies a value out of the parser, which reuses its memory. The parser
// does not say where an array begins: at is for that.
func (d *document) value(v *unstable.Node, at int) *node {
	n := &node{kind: kinds[v.Kind], at: at, name: at, text: string(v.Data)}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.Array {
				n.list = append(n.list, d.value(c, at))
			} else {
				n.list = append(n.list, d.value(c, int(c.Raw.Offset)))
			}
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			d.assign(n, it.Node())
		}
		n.closed = true
	}
	return n
}

var kinds = map[unstable.Kind]valueKind{
	unstable.Array: isArray, unstable.InlineTable: isTable, unstable.String: isString, unstable.Bool: isBool,
	unstable.Float: isFloat, unstable.Integer: isInteger, unstable.LocalDate: isDate, unstable.LocalTime: isDate,
	unstable.LocalDateTime: isDate, unstable.DateTime: isDate,
}
