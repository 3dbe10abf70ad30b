package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Line and column count from 1, columns in
// bytes, as compilers do. The zero Line means the file as a whole.
type Position struct {
	File         string
	Line, Column int
}

// String returns "FILE:LINE:COLUMN".
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Diagnostic is one thing that is wrong with a file.
type Diagnostic struct {
	Position
	Service    string // the service that it is about, such as `"redis"` or `#2` if it has no name; or empty
	Key        string // in full, such as "service.stop.timeout"; empty if it is about no key
	Message    string
	Suggestion string // what to do; may be empty
}

// String returns "FILE:LINE:COLUMN: service "NAME": MESSAGE (SUGGESTION)", without what
// there is not.
func (d Diagnostic) String() string {
	var b strings.Builder
	if d.Position != (Position{}) { // it comes from a file
		b.WriteString(d.Position.String() + ": ")
	}
	if d.Service != "" {
		b.WriteString("service " + d.Service + ": ")
	}
	b.WriteString(d.Message)
	if d.Suggestion != "" {
		b.WriteString(" (" + d.Suggestion + ")")
	}
	return b.String()
}

// Diagnostics is all that is wrong with a file, in its order. As an error it
// has one line for each.
type Diagnostics []Diagnostic

// Error implements error.
func (d Diagnostics) Error() string {
	lines := make([]string, len(d))
	for i := range d {
		lines[i] = d[i].String()
	}
	return strings.Join(lines, "\n")
}

// sort brings them into the file's order and drops what is said twice.
func (d Diagnostics) sort() Diagnostics {
	slices.SortStableFunc(d, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(d)
}
