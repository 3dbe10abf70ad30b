package south

import (
	"math"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Service is how the connections of a port are protected.
type Service struct {
	Name string // in the log
	// Unmodified says that the server has no north side: there is no journal,
	// and it is rolled forward on the wire.
	Unmodified bool
	Compare    policy.Compare // unmodified servers only
	Quota      int64          // bytes of client data that the log keeps per connection; 0: unlimited
	OnFull     policy.OnFull  // what happens when there are more
	Log        policy.Log     // unmodified servers only
	Idle       int64          // for LogSinceIdle, ns
	LogDown    policy.LogDown // what happens while the log makes nothing stable
	DownAfter  int64          // for DownUnprotect, ns; default 10 s
}

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
