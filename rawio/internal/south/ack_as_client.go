package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// A connection may be over for its client, which has all of the stream of an unmodified server's
// predecessor, FIN included, while the new server has yet to send it. The client
// may have no such connection any more, and would answer with a RST, so that the server's write
// fails. So the gate continues to capture the server's segments, and the core acknowledges them.

// outputRemains reports whether an unmodified server has not sent all of its stream yet.
func (m *Machine) outputRemains(c *Conn, slot *gate.Slot) bool {
	_, closed := slot.FIN()
	return c.wire != nil && c.is(recovered) && slot.Mode() == gate.ModeLive && !closed && slot.Released() != gate.ReleasedCrashed
}

// captureRest makes the gate capture the rest of it.
func (m *Machine) captureRest(c *Conn, slot *gate.Slot) {
	slot.SetSndNxt(c.finEnd)
	slot.SetFlags(slot.Flags() | gate.FlagOver)
	slot.SetMode(gate.ModeRoll)
}

// ackAsClient acknowledges a segment of the server in the client's name: the client already
// has its bytes. After the FIN the kernel may answer the client itself.
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
