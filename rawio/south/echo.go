package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
)

// catchUp takes note of what a restored connection's client echoes. It may have got newer
// segments than the one that was heard first tells, which may have been on its way for long;
// and it refuses what looks older than those (PAWS).
func (m *Machine) catchUp(c *Conn, s *segment.Segment) {
	if !c.server.ts || !s.Options.HasTS {
		return
	}
	echo := s.Options.TSEcr
	if c.state != Established {
		if c.extra != nil {
			c.extra.tsval = seqnum.Max(c.extra.tsval, echo)
		}
		return
	}
	slot := m.env.Slot(c.slot)
	if last := slot.TSVal(); slot.Flags()&gate.FlagXlate != 0 && seqnum.Less(last, echo) {
		slot.SetTSDelta(slot.TSDelta() + echo + 1 - last)
		slot.SetTS(echo, slot.TSEcr())
	}
}
