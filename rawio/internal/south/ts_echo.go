package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// noteEcho notes the TSecr of a client's segment: the client refuses segments with an older TSval
// (PAWS). It can be newer than what is known here: the client may have got a retransmitted SYN-ACK,
// which the gate does not note; and the client of a restored connection may have got newer segments
// than its first one here says, which may have been long on its way.
func (m *Machine) noteEcho(c *Conn, s *segment.Segment) {
	if !c.server.ts() || !s.Options.HasTS {
		return
	}
	echo := s.Options.TSEcr
	if c.state != Established {
		if c.extra != nil {
			c.extra.tsval = seqnum.Max(c.extra.tsval, echo)
		}
		return
	}
	if !c.is(recovered) {
		return // it is the kernel's clock
	}
	slot := m.slotOf(c)
	if last := slot.TSVal(); slot.Flags()&gate.FlagXlate != 0 && seqnum.Less(last, echo) {
		slot.SetTSDelta(slot.TSDelta() + echo + 1 - last)
		slot.SetTS(echo, slot.TSEcr())
	}
}
