package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// Flags are keys that a command line says: of a [File] with one service, or of a [Logd].
// What it says is judged as a file that says the same.
type Flags struct {
	schema *schema // of what they belong to: fileSchema or logdSchema
	flags  []*Flag // in the order of their definition
}

// NewFlags is for the command line of `ftnet run` and those that ask the same.
func NewFlags() *Flags { return &Flags{schema: fileSchema} }

// NewLogdFlags is for that of `ftnet logd`.
func NewLogdFlags() *Flags { return &Flags{schema: logdSchema} }

// Flag is one of them. It implements pflag.Value.
type Flag struct {
	name  string // on the command line, without dashes
	path  string // with "service." before that of a service
	key   *key
	texts []string // nil: not given
}

// Flag defines the flag of a key, such as "log.url" or "service.quota".
func (f *Flags) Flag(name, path string) *Flag {
	s, in := f.schema, path
	if rest, ok := strings.CutPrefix(path, servicePrefix); ok {
		s, in = serviceSchema, rest
	}
	v := &Flag{name: name, path: path, key: s.key(in)}
	if v.key == nil {
		panic("config: there is no key " + path)
	}
	f.flags = append(f.flags, v)
	return v
}

const servicePrefix = "service."

// Set notes a value, or one more of a list. An error says that the text cannot be read;
// whether it is right is found by File and Logd.
func (v *Flag) Set(text string) (err error) {
	switch v.key.kind {
	case aBoolean:
		var on bool
		on, err = strconv.ParseBool(text)
		text = strconv.FormatBool(on)
	case anInteger:
		_, err = strconv.Atoi(text)
	case aDuration:
		_, err = time.ParseDuration(text)
	case aSize:
		_, err = bytesize.Parse(text)
	case aChoice: // those of log.since are others than those of log
		if n, ok := v.key.zero().(named); ok && !slices.Contains(n.Names(), text) {
			err = fmt.Errorf("want %s", oneOf(n.Names()))
		}
	case aList:
		v.texts = append(v.texts, text)
		return nil
	}
	v.texts = []string{text}
	return err
}

// String returns the last value, or the default; "" if there is none, or it says
// nothing.
func (v *Flag) String() string {
	switch {
	case v.texts != nil:
		return v.texts[len(v.texts)-1]
	case v.key == nil || v.key.def == "0s":
		return ""
	}
	return v.key.def
}

// Type returns what the flag takes, for its usage.
func (v *Flag) Type() string {
	switch v.key.kind {
	case aBoolean:
		return "bool"
	case anInteger:
		return "int"
	case aDuration:
		return "duration"
	case aSize:
		return "size"
	case aList:
		return "stringArray"
	}
	return "string"
}

// tables are what the command line says outside services and of the service.
func (f *Flags) tables() (top, service *node) {
	top, service = &node{kind: isTable}, &node{kind: isTable}
	for _, v := range f.flags {
		if v.texts == nil {
			continue
		}
		n, table := v.key.node(v.texts...), top
		if strings.HasPrefix(v.path, servicePrefix) {
			table = service
			n.key = serviceSchema.choosing(v.key, n.text)
		}
		table.add(n)
	}
	return top, service
}

// choosing returns the path under which a key's value is written: that of log = "idle"
// is log.since.
func (s *schema) choosing(k *key, text string) string {
	if k.kind == aChoice && !slices.Contains(k.choices, text) {
		for _, other := range s.keys {
			if slices.Equal(other.field, k.field) && slices.Contains(other.choices, text) {
				return other.path
			}
		}
	}
	return k.path
}

// File returns what the flags say, with a service if there is a command. Nothing is looked
// up on this machine. An error is a [FlagError].
func (f *Flags) File(command ...string) (*File, error) {
	c, err := newUnplaced(nil)
	if err != nil {
		return nil, err
	}
	top, service := f.tables()
	var services []*node
	if len(command) > 0 {
		service.add(serviceSchema.key("command").node(command...))
		for _, more := range []*node{serviceSchema.key("mode").node(string(ModeListen)), serviceSchema.key("name").node(nameOf(command[0]))} {
			if service.child(more.key) == nil {
				service.add(more)
			}
		}
		services = []*node{service}
	}
	file := c.decodeFile("", top, services)
	if len(c.diags) > 0 {
		return nil, f.named(c.diags)
	}
	return file, nil
}

// nameOf is the name of a service whose command is this, if it has no other.
func nameOf(command string) string {
	name := strings.Map(func(r rune) rune {
		if nameForm.MatchString("a" + string(r)) {
			return r
		}
		return '_'
	}, filepath.Base(command))
	if name = name[:min(len(name), 64)]; !nameForm.MatchString(name) || slices.Contains(reserved, name) {
		name = "s" + name[:min(len(name), 63)]
	}
	return name
}

// newUnplaced is a checker of what does not come from a file. Its paths begin at the
// working directory.
func newUnplaced(sys system) (*checker, error) {
	base, err := filepath.Abs("")
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	return &checker{document: &document{}, sys: sys, base: base, seen: map[string]*node{}}, nil
}

// Logd returns what the flags say, over the file of that path if that is not empty. An
// error is a [FlagError], [Diagnostics] of the file, or the file could not be read.
func (f *Flags) Logd(path string) (*Logd, error) {
	c, err := newUnplaced(thisHost())
	if err != nil {
		return nil, err
	}
	top, _ := f.tables()
	var given []string
	for _, n := range top.list {
		given = append(given, n.key)
	}
	all := []string{}
	if path != "" { // what is required may be there
		for _, k := range logdSchema.keys {
			all = append(all, k.path)
		}
	}
	said := c.decodeLogd("", top, all...)
	if len(c.diags) > 0 {
		return nil, f.named(c.diags)
	}
	if path == "" {
		return said, nil
	}
	l, err := loadLogd(path, given...)
	if err != nil {
		return nil, err
	}
	for _, p := range given {
		k := logdSchema.key(p)
		k.of(reflect.ValueOf(l).Elem()).Set(k.of(reflect.ValueOf(said).Elem()))
	}
	return l, nil
}

// FlagError is returned for a command line that is wrong, with all that is. It names the
// flags, not their keys.
type FlagError struct{ Diagnostics }

// named puts the flags' names in the place of the keys.
func (f *Flags) named(list Diagnostics) *FlagError {
	for i := range list {
		d := &list[i]
		if d.Service = ""; strings.Contains(d.Suggestion, " = {") { // no flag is a table
			d.Suggestion = ""
		}
		for _, v := range f.flags {
			path := strings.TrimPrefix(v.path, servicePrefix)
			if rest, missing := strings.CutPrefix(d.Message, fmt.Sprintf("%q is missing", path)); missing {
				d.Message, d.Suggestion = "--"+v.name+" is required"+rest, ""
				if f.schema == logdSchema {
					d.Message += ", or --config FILE"
				}
			}
			d.Message, d.Suggestion = v.names(path, d.Message), v.names(path, d.Suggestion)
			if other := v.other(); other != "" {
				d.Message, d.Suggestion = v.names(other, d.Message), v.names(other, d.Suggestion)
			}
			if d.Key == v.path && !strings.Contains(d.Message, "--"+v.name) {
				d.Message = "--" + v.name + ": " + d.Message
			}
		}
	}
	return &FlagError{list}
}

// other is the key that the file has for some of a flag's values, as log.since; or nothing.
func (v *Flag) other() string {
	if n, ok := v.key.zero().(named); ok {
		for _, text := range n.Names() {
			if path := serviceSchema.choosing(v.key, text); path != v.key.path {
				return path
			}
		}
	}
	return ""
}

// modeFlag says as a flag what a file says of the mode.
var modeFlag = strings.NewReplacer(`with mode = "listen"`, "without --unmodified", `mode = "unmodified"`, "--unmodified")

// names puts the flag's name in the place of its key. A key that is a plain word is one
// only where a message begins with it.
func (v *Flag) names(path, text string) string {
	switch {
	case path == "mode":
		return modeFlag.Replace(text)
	case strings.Contains(path, "."):
		return strings.ReplaceAll(strings.ReplaceAll(text, path, "--"+v.name), "--"+v.name+" = ", "--"+v.name+" ")
	}
	for _, after := range []string{":", " wants", " has", " is", " ="} {
		if rest, ok := strings.CutPrefix(text, path+after); ok {
			return "--" + v.name + strings.TrimSuffix(after, " =") + rest
		}
	}
	return text
}
