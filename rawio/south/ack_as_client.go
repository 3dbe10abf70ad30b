package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/gate"
)

// A connection may be over for its client, which has all that an unmodified server's
// predecessor had sent with its FIN, while the new server has yet to say the same. The client
// may have forgotten the connection, and would answer by a RST, at which the server's write
// fails. So the gate goes on to capture what it says, and the core acknowledges that.

// hasToSay reports whether that is so.
func (m *Machine) hasToSay(c *Conn, slot *gate.Slot) bool {
	_, closed := slot.FIN()
	return c.wire != nil && c.is(recovered) && slot.Mode() == gate.ModeLive && !closed && slot.Released() != gate.ReleasedCrashed
}

// captureLast begins with that.
func (m *Machine) captureLast(c *Conn, slot *gate.Slot) {
	slot.SetSndNxt(c.finEnd)
	slot.SetFlags(slot.Flags() | gate.FlagOver)
	slot.SetMode(gate.ModeRoll)
}

// ackAsClient acknowledges in the client's name what the server says: whatever it is, the client
// has had it. After the FIN the kernel may answer the client itself.
func (m *Machine) ackAsClient(c *Conn, s *segment.Segment) {
	if s.Len() == 0 || s.Flags.Any(segment.SYN|segment.RST) {
		return
	}
	a := &segment.Segment{
		Src: c.Flow.Client, Dst: c.Flow.Server, Seq: s.Ack, Ack: s.End(), Flags: segment.ACK, Window: 65535,
	}
	a.Options.HasTS, a.Options.TSVal, a.Options.TSEcr = s.Options.HasTS, s.Options.TSEcr, s.Options.TSVal
	m.net.ToServer(a)
	if slot := m.slotOf(c); s.Flags.Has(segment.FIN) && slot.Mode() == gate.ModeRoll {
		slot.SetFIN(slot.SndNxt())
		slot.SetMode(gate.ModeLive)
	}
}
