package south

import (
	"math"

	"github.com/ftnet/ftnet/internal/policy"
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

// What a service's owner chooses; see package policy.
type (
	OnFull    = policy.OnFull
	LogDown   = policy.LogDown
	Compare   = policy.Compare
	LogPolicy = policy.Log
)

// The choices.
const (
	CloseWindow   = policy.CloseWindow
	Unprotect     = policy.Unprotect
	ResetConn     = policy.ResetConn
	DownHold      = policy.DownHold
	DownUnprotect = policy.DownUnprotect
	CompareStrict = policy.CompareStrict
	CompareLength = policy.CompareLength
	LogFull       = policy.LogFull
	LogSinceIdle  = policy.LogSinceIdle
	LogOff        = policy.LogOff
)

// head is what is known of how far the server process got with a connection.
func (m *Machine) head(c *Conn) Head {
	if c.wire == nil {
		return m.record.Head(c.slot)
	}
	return Head{
		Closing: m.slotOf(c).Released() == gate.ReleasedClosed,
		Output:  math.MaxInt64, // nobody recorded it before it left
	}
}

// withdraw takes a connection out of the journal.
func (m *Machine) withdraw(c *Conn) {
	if c.wire == nil {
		m.record.Withdraw(c.slot)
	}
}
