package south

import (
	"math"

	"github.com/ftnet/ftnet/rawio/gate"
)

// Service is how the connections of a port are protected.
type Service struct {
	Name string // in the log
	// Unmodified says that the server has no north side: there is no journal,
	// and it is rolled forward on the wire.
	Unmodified bool
	Compare    Compare   // unmodified servers only
	Quota      int64     // bytes of client data that the log keeps per connection; 0: unlimited
	OnFull     OnFull    // what happens when there are more
	Log        LogPolicy // unmodified servers only
	Idle       int64     // for LogSinceIdle, ns
	LogDown    LogDown   // what happens while the log makes nothing stable
	DownAfter  int64     // for DownUnprotect, ns; default 10 s
}

// LogDown says what becomes of a connection while the log makes nothing stable of
// what it was given, or takes nothing, for another reason than a full quota: its
// disk has failed, its server cannot be reached.
type LogDown uint8

// The choices.
const (
	// DownHold has the client wait: nothing that is not stable is acknowledged.
	DownHold LogDown = iota
	// DownUnprotect lets a live connection, and one that begins, go on without
	// protection when the log has stood still for DownAfter. One that is
	// interrupted waits: nobody else has what its client has sent.
	DownUnprotect
)

// Compare says how the output of a restarted server is compared with what its
// predecessor has sent.
type Compare uint8

// The choices.
const (
	CompareStrict Compare = iota // byte by byte, by checksums
	CompareLength                // the number of bytes only
)

// LogPolicy says what is kept of an unmodified server's input.
type LogPolicy uint8

// The choices.
const (
	LogFull LogPolicy = iota // all of it
	// LogSinceIdle drops what lies before a pause of the client, if all of it
	// was answered and the answers acknowledged: right only for protocols whose
	// every reply ends what came before.
	LogSinceIdle
	LogOff // nothing: connections are not protected
)

// head is what is known of how far the server process got with a connection.
func (m *Machine) head(c *Conn) Head {
	if c.wire == nil {
		return m.env.Head(c.slot)
	}
	return Head{
		Closing: m.env.Slot(c.slot).Released() == gate.ReleasedClosed,
		Output:  math.MaxInt64, // nobody recorded it before it left
	}
}

// withdraw takes a connection out of the journal.
func (m *Machine) withdraw(c *Conn) {
	if c.wire == nil {
		m.env.Withdraw(c.slot)
	}
}
