// Package policy has what a service's owner chooses for its connections: one Go type
// for each choice, from the file and the flags to the core that follows it.
//
// The zero value of each is the default. Its text is that of the file.
package policy

import (
	"fmt"
	"slices"
	"strconv"
)

// OnFull says what happens to a connection whose quota of the log is used up.
type OnFull uint8

// The choices.
const (
	CloseWindow OnFull = iota // the client may not send more until the outage is over
	Unprotect                 // the connection goes on without protection
	ResetConn                 // both sides get a RST
)

// LogDown says what happens to connections while the log makes nothing stable of
// what it was given, or takes nothing, for another reason than a full quota: its
// disk has failed, its server cannot be reached.
type LogDown uint8

// The choices.
const (
	// DownHold has the client wait: nothing that is not stable is acknowledged.
	DownHold LogDown = iota
	// DownUnprotect lets a live connection, and one that begins, go on without
	// protection when the log has stood still for a time that is set beside it. One
	// that is interrupted waits: nobody else has what its client has sent.
	DownUnprotect
)

// Compare says how the output of a restarted server is compared with what the previous
// process has written. It is ftnet.Compare, too, and its text that of the control protocol.
type Compare uint8

// The choices.
const (
	CompareStrict Compare = iota // byte by byte, by checksums
	CompareLength                // the number of bytes only, for replies that differ in details of equal length
)

// Log says how much of the input of an unmodified server's connection is kept.
type Log uint8

// The choices.
const (
	LogFull Log = iota // everything, up to the quota
	// LogSinceIdle drops what lies before a pause of the client, if all of it
	// was answered and the answers acknowledged: right only for protocols whose
	// every reply ends what came before.
	LogSinceIdle
	LogOff // nothing: a crash ends the connection
)

// Names returns the text of each value, in the values' order.
func (OnFull) Names() []string { return []string{"close-window", "unprotect", "reset"} }

// Names returns the text of each value, in the values' order.
func (LogDown) Names() []string { return []string{"hold", "unprotect"} }

// Names returns the text of each value, in the values' order.
func (Compare) Names() []string { return []string{"strict", "length"} }

// Names returns the text of each value, in the values' order.
func (Log) Names() []string { return []string{"full", "idle", "off"} }

func (v OnFull) String() string  { return name(v.Names(), uint8(v)) }
func (v LogDown) String() string { return name(v.Names(), uint8(v)) }
func (v Compare) String() string { return name(v.Names(), uint8(v)) }
func (v Log) String() string     { return name(v.Names(), uint8(v)) }

// MarshalText returns the name.
func (v Compare) MarshalText() ([]byte, error) {
	if int(v) >= len(v.Names()) {
		return nil, fmt.Errorf("no such comparison: %v", v)
	}
	return []byte(v.String()), nil
}

// UnmarshalText reads a name.
func (v *Compare) UnmarshalText(text []byte) error {
	i := slices.Index(v.Names(), string(text))
	if i < 0 {
		return fmt.Errorf("no such comparison: %q", text)
	}
	*v = Compare(i)
	return nil
}

// name is a value's text; its number if there is no such choice.
func name(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}
