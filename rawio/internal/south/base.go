package south

import (
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Base is where a connection's log begins, and with it each recovery from here on: a server of the
// connection's service that is given the client's stream from In on sends what its predecessor has sent from
// Out on. Both are offsets, 0 with the connection. What a server has to know besides lies in the log
// (logserver.Base.State), which keeps it for whom it concerns.
//
// Rules, in whatever mode the server is:
//
//   - In is stable, and Out acknowledged: nobody has what lies before it, and it is needed no more.
//   - The core's base is never before the log's, which may become stable later. If the engine
//     dies before, recovery begins at the log's: the log has all from there on, and the Record is not
//     cut when the core's base moves. See journal.PrepareRecovery for a record that begins earlier.
//   - It moves forward only, in both streams, and only while the connection is live.
type Base struct{ In, Out int64 }

// start returns the connection's base.
func (c *Conn) start() Base {
	if c.base == nil {
		return Base{}
	}
	return *c.base
}

// setBase makes b the connection's base.
func (c *Conn) setBase(b Base) {
	if c.base == nil {
		if b == (Base{}) {
			return
		}
		c.base = new(Base)
	}
	*c.base = b
}

// Errors of rebase, after which the base is as before: what is kept besides does no harm.
var (
	errUnstable = errors.New("the input before the base is not stable")
	errUnacked  = errors.New("the client has not acknowledged the output before the base")
	errUnread   = errors.New("the record does not have all reads of the input before the base")
	errNotLive  = errors.New("the connection is not live")
	errNoOutput = errors.New("the record of the output is not there yet")
)

// rebase makes b the base of a live connection, and the log forget what lies before.
func (m *Machine) rebase(c *Conn, b logserver.Base) error {
	switch {
	case c.state != Established:
		return errNotLive
	case b.In > c.stable:
		return errUnstable
	case b.Out > c.unaOff || c.is(unaUnknown):
		return errUnacked
	case c.wire == nil && !m.recordReads(c, b.In):
		return errUnread
	}
	if w := c.wire; w != nil && w.digest != nil && (w.digest.end != b.Out || w.digest.ahead != nil) {
		return errNoOutput
	}
	if err := m.log.Rebase(c.ID, b); err != nil {
		return err
	}
	if !b.Beyond(logserver.Base{In: c.start().In, Out: c.start().Out}) {
		return nil
	}
	c.setBase(Base{b.In, b.Out})
	if w := c.wire; w != nil && w.digest != nil {
		w.digest = newDigest(b.Out, w.digest.grain)
	}
	if slot := m.slotOf(c); slot.Flags()&gate.FlagLimit != 0 {
		slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	}
	c.unset(fullReported)
	m.limit(c)
	return nil
}

// recordReads tells the log of the reads of input below an offset, if it is told of reads: else it would
// take those that come after for them. It reports whether all are recorded.
func (m *Machine) recordReads(c *Conn, to int64) bool {
	for m.cfg.Lasting {
		lengths, total := m.record.NewReads(c.slot)
		if len(lengths) > 0 && m.log.WriteReads(c.ID, lengths...) != nil {
			return false
		}
		if len(lengths) == 0 || total >= to {
			return total >= to
		}
	}
	return true
}
