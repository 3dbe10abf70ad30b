package recovery

import (
	"fmt"

	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/south"
)

// Mode says how a server is protected.
type Mode string

const (
	// ModeListen is for a server that calls ftnet.Listen: its reads and
	// writes are recorded in a journal and replayed one by one.
	ModeListen Mode = "listen"
	// ModeUnmodified is for any other: the engine plays the client against
	// the restarted server, on the wire.
	ModeUnmodified Mode = "unmodified"
)

// OnFull says what happens to a connection whose log cannot take more.
type OnFull string

const (
	CloseWindow OnFull = "close-window" // the client may send no more until the outage is over
	Unprotect   OnFull = "unprotect"    // it goes on without protection
	Reset       OnFull = "reset"        // it is reset
)

// Compare says how a restarted server's output is compared with what the client
// has acknowledged already.
type Compare string

const (
	CompareStrict Compare = "strict" // every byte
	CompareLength Compare = "length" // the number of bytes only, for replies that differ in details of equal length
)

// LogDown says what happens to connections while the log makes nothing stable:
// its server cannot be reached, its disk has failed.
type LogDown string

const (
	DownHold      LogDown = "hold"      // they wait: clients are slowed down, nothing is lost
	DownUnprotect LogDown = "unprotect" // they go on without protection; see ServiceConfig.DownAfter
)

// LogPolicy says how much of a connection's input is kept.
type LogPolicy string

const (
	LogFull      LogPolicy = "full" // everything, up to the quota
	LogSinceIdle LogPolicy = "idle" // what came since the connection was last idle; see ServiceConfig.Idle
	LogOff       LogPolicy = "off"  // nothing: a crash ends the connection
)

// named is a policy that has a name.
type named interface{ ~string }

// parse reads the name of a policy.
func parse[T named](what, s string, all ...T) (T, error) {
	for _, v := range all {
		if s == string(v) {
			return v, nil
		}
	}
	list := string(all[0])
	for i, v := range all[1:] {
		if i == len(all)-2 {
			list += " or "
		} else {
			list += ", "
		}
		list += string(v)
	}
	return "", fmt.Errorf("unknown %s %q: want %s", what, s, list)
}

// ParseMode reads the name of a mode.
func ParseMode(s string) (Mode, error) { return parse("mode", s, ModeListen, ModeUnmodified) }

// ParseOnFull reads the name of a policy.
func ParseOnFull(s string) (OnFull, error) {
	return parse("policy", s, CloseWindow, Unprotect, Reset)
}

// ParseCompare reads the name of a comparison.
func ParseCompare(s string) (Compare, error) {
	return parse("comparison", s, CompareStrict, CompareLength)
}

// ParseLogPolicy reads the name of a policy.
func ParseLogPolicy(s string) (LogPolicy, error) {
	return parse("log policy", s, LogFull, LogSinceIdle, LogOff)
}

// ParseLogDown reads the name of a policy.
func ParseLogDown(s string) (LogDown, error) {
	return parse("policy", s, DownHold, DownUnprotect)
}

func (d LogDown) core() rawio.LogDown {
	if d == DownUnprotect {
		return rawio.DownUnprotect
	}
	return rawio.DownHold
}

// core is the policy as the packet engine knows it.
func (f OnFull) core() south.OnFull {
	switch f {
	case Unprotect:
		return south.Unprotect
	case Reset:
		return south.ResetConn
	}
	return south.CloseWindow
}

func (c Compare) core() rawio.Compare {
	if c == CompareLength {
		return rawio.CompareLength
	}
	return rawio.CompareStrict
}

func (p LogPolicy) core() rawio.LogPolicy {
	switch p {
	case LogSinceIdle:
		return rawio.LogSinceIdle
	case LogOff:
		return rawio.LogOff
	}
	return rawio.LogFull
}
