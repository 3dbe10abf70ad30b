package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// The tags of [File], [Service] and [Logd] are the schema:
//
//	toml     the key, in full
//	for      the field that a blank field's key is another way to write
//	choices  what can be written, unless the field's type says it
//	def      the default, as it would be written, but without quotes; "required" if there is none.
//	         Without: the zero value, or what the comment says
//	min max  bounds, inclusive. A size has no upper one
//	unit     what a string, or a list's strings, are
//	example  a right value, for messages
//	effect   what a change of it takes at a reload, see below
//	also     what other programs call it, for suggestions
//
// The comment above a field is what the key means, in docs/configuration.md, too, and
// may end with a line that says what the default is.

// kind is what a key wants.
type kind int

const (
	aString kind = iota
	aChoice      // one of the key's choices
	aBoolean
	anInteger
	aDuration // in quotes: "10s"
	aSize     // in quotes: "64MiB", or a whole number of bytes
	aList     // of strings
	aMap      // a table of strings, whose keys are free
	aSignal   // "TERM" or "SIGTERM"
	aLimit    // a resource limit
)

// effect is what a change of a key takes at a reload.
type effect string

const (
	atOnce  effect = "at once" // applied; the service's process goes on
	restart effect = "restart" // the service is restarted through recovery, its connections open
	renew   effect = "renew"   // the service is stopped and another one started
	engine  effect = "engine"  // ftnet itself has to be restarted
)

// schema is the keys of a type.
type schema struct{ keys []key }

// key is one of them.
type key struct {
	path     string // dots lead into tables
	field    []int  // of the type: where the value goes
	kind     kind
	needed   bool
	alias    bool     // another way to write a key, which Diff looks at
	def      string   // without quotes; empty: the zero value
	choices  []string // of aChoice
	min, max int64    // bounds of anInteger, aDuration (ns), aSize; none if both are 0
	unit     string   // of aLimit: "bytes", "seconds" or "" for a number; what a string or a list's strings are
	example  string   // without quotes
	effect   effect
	typ      reflect.Type // of the field
	doc      string       // of aLimit; that of other keys is their field's comment
	also     []string     // what other programs call it
}

var (
	fileSchema    = schemaOf[File]()
	serviceSchema = schemaOf[Service]()
	logdSchema    = schemaOf[Logd]()
)

func schemaOf[T any]() *schema {
	s := &schema{}
	s.gather(reflect.TypeFor[T](), nil)
	for i := range s.keys {
		k := &s.keys[i]
		k.alias = k.alias && slices.ContainsFunc(s.keys, func(o key) bool { return !o.alias && slices.Equal(o.field, k.field) })
	}
	return s
}

// gather takes the keys out of a struct's tags.
func (s *schema) gather(t reflect.Type, at []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		path, tagged := f.Tag.Lookup("toml")
		index := append(slices.Clone(at), i)
		switch {
		case f.Type == reflect.TypeFor[Limits]():
			s.keys = append(s.keys, limitKeys(path, index)...)
		case tagged:
			s.keys = append(s.keys, newKey(t, f, at))
		case f.Type.Kind() == reflect.Struct:
			s.gather(f.Type, index)
		}
	}
}

// newKey reads a field's tags.
func newKey(in reflect.Type, f reflect.StructField, at []int) key {
	tag := f.Tag.Get // of this field, not of that which it is for
	k := key{
		path: tag("toml"), def: tag("def"), unit: tag("unit"), example: tag("example"),
		effect: effect(tag("effect")), also: strings.Fields(tag("also")), choices: strings.Fields(tag("choices")),
	}
	k.field = append(slices.Clone(at), f.Index...)
	if other := tag("for"); other != "" {
		k.alias = true // if there is a key of the field's own
		first, rest, nested := strings.Cut(other, ".")
		f, _ = in.FieldByName(first)
		k.field = append(slices.Clone(at), f.Index...)
		if nested {
			f, _ = f.Type.FieldByName(rest)
			k.field = append(k.field, f.Index...)
		}
	}
	if k.def == "required" {
		k.needed, k.def = true, ""
	}
	if n, ok := reflect.Zero(f.Type).Interface().(named); ok && len(k.choices) == 0 {
		k.choices = n.Names()
	}
	k.typ, k.kind = f.Type, kindOf(f.Type, len(k.choices) > 0)
	k.min, k.max = k.bound(tag("min")), k.bound(tag("max"))
	if k.kind == aSize && k.max == 0 {
		k.max = largest
	}
	return k
}

// largest is the bound of sizes that have no other.
const largest = 1 << 62

// named is a choice of package policy: a small number, whose values have names.
type named interface{ Names() []string }

func kindOf(t reflect.Type, choice bool) kind {
	switch {
	case choice:
		return aChoice
	case t == reflect.TypeFor[time.Duration]():
		return aDuration
	case t == reflect.TypeFor[syscall.Signal]():
		return aSignal
	}
	switch t.Kind() {
	case reflect.Bool:
		return aBoolean
	case reflect.Int:
		return anInteger
	case reflect.Int64:
		return aSize
	case reflect.Slice:
		return aList
	case reflect.Map:
		return aMap
	}
	return aString
}

// bound reads a tag's number. A wrong one is found by each test.
func (k *key) bound(text string) int64 {
	if text == "" {
		return 0
	}
	var v int64
	var err error
	switch k.kind {
	case aDuration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v = int64(d)
	case aSize:
		var size bytesize.Size
		size, err = bytesize.Parse(text)
		v = int64(size)
	default:
		v, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		panic(fmt.Sprintf("config: bound of %s: %v", k.path, err))
	}
	return v
}

// zero returns the zero value of the key's field.
func (k *key) zero() any { return reflect.Zero(k.typ).Interface() }

// of returns the key's field of a struct.
func (k *key) of(v reflect.Value) reflect.Value { return v.FieldByIndex(k.field) }

// key returns that of a path, or nil.
func (s *schema) key(path string) *key {
	i := slices.IndexFunc(s.keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return nil
	}
	return &s.keys[i]
}

// table reports whether a path is a table.
func (s *schema) table(path string) bool {
	return slices.ContainsFunc(s.keys, func(k key) bool { return strings.HasPrefix(k.path, path+".") })
}

// wants says in words what the key takes.
func (k *key) wants() string {
	switch k.kind {
	case aChoice:
		return oneOf(k.choices)
	case aBoolean:
		return "true or false, without quotes"
	case anInteger:
		return "an integer"
	case aDuration:
		return "a duration in quotes"
	case aSize:
		return "a size in quotes"
	case aList:
		return "an array of strings"
	case aMap:
		return "a table of strings"
	case aSignal:
		return "the name of a signal"
	case aLimit:
		if k.unit == "bytes" {
			return `a size in quotes, or "unlimited"`
		}
		return `an integer, or "unlimited"`
	}
	return "a string"
}

// sample returns a right value as it would be written.
func (k *key) sample() string {
	switch {
	case k.example != "":
		return k.written(k.example)
	case k.def != "":
		return k.written(k.def)
	case len(k.choices) > 0:
		return k.written(k.choices[0])
	}
	return ""
}

// written is what a tag says, as it is written in the file.
func (k *key) written(text string) string {
	switch {
	case k.kind == aList:
		return tomlList(strings.Fields(text))
	case k.kind == aMap:
		name, value, _ := strings.Cut(text, "=")
		return fmt.Sprintf("{ %s = %q }", name, value)
	case k.kind == aBoolean, k.kind == anInteger, k.kind == aLimit && k.unit == "":
		return text
	}
	return strconv.Quote(text)
}

// leaf is a path's last part.
func leaf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
