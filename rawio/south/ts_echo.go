package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// catchUp takes note of what a connection's client echoes. It refuses what looks older than
// that (PAWS). It may have got the SYN-ACK when the kernel had repeated that, which the gate
// does not note; and that of a restored connection newer segments than the first one here
// says, which may have been on its way for long.
func (m *Machine) catchUp(c *Conn, s *segment.Segment) {
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
