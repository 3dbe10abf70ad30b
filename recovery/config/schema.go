package config

import (
	"strings"
	"time"
)

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
type effect int

const (
	atOnce  effect = iota // applied; the service's process goes on
	restart               // the service is restarted through recovery, its connections open
	renew                 // the service is stopped and another one started
	engine                // ftnet itself has to be restarted
)

// key is one row of the schema. T is what the key belongs to.
type key[T any] struct {
	path string // within T; dots lead into tables
	spec
	field func(*T) any // pointer to where the value goes
}

// spec is all of a key that does not depend on T.
type spec struct {
	kind     kind
	needed   bool
	alias    bool     // another way to write a key, which Diff looks at
	def      string   // the default as it would be written; empty: the zero value
	defText  string   // says what the default is where def cannot
	choices  []string // of aChoice
	min, max int64    // bounds of anInteger, aDuration (ns), aSize; none if both are 0
	unit     string   // of aLimit: "bytes", "seconds" or "" for a number; what a string or a list's strings are
	example  string   // a right value, for messages
	effect   effect
	doc      string   // what it means; Markdown, one line
	also     []string // what other programs call it, for suggestions
	// check judges a value of the file that is of the right type, by itself.
	// What depends on other keys or on the machine is judged afterwards.
	check func(c *checker, path string, n *node)
}

// wants says in words what the key takes.
func (s spec) wants() string {
	switch s.kind {
	case aChoice:
		return oneOf(s.choices)
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
		if s.unit == "bytes" {
			return `a size in quotes, or "unlimited"`
		}
		return `an integer, or "unlimited"`
	}
	return "a string"
}

// sample returns a right value as it would be written.
func (s spec) sample() string {
	switch {
	case s.example != "":
		return s.example
	case s.def != "":
		return s.def
	case len(s.choices) > 0:
		return `"` + s.choices[0] + `"`
	}
	return ""
}

// leaf is a path's last part.
func leaf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// MinQuota is the least that a connection's log may hold, bytes: what one segment
// may bring when the kernel has put its packets together. With less a client could
// not even send its first request.
const MinQuota = 64 << 10

// Bounds that several keys share.
const (
	shortest = int64(time.Millisecond)
	longest  = int64(24 * time.Hour)
	largest  = 1 << 62
)
