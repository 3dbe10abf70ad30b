package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// unfollowed takes a segment of the server that cannot be sent again after a crash, with urgent
// data, or that cannot be translated, a fragment. The gate has opened the
// connection, unless it had to hold the segment.
func (m *Machine) unfollowed(c *Conn, s *segment.Segment) {
	opened, held := gate.OpenedUrgent, false
	if !s.Flags.Has(segment.URG) {
		opened, held = gate.OpenedFragment, c.is(recovered)
	}
	why, detail := openedBy(opened)
	if held {
		m.Abort(c, why.With(detail))
		return
	}
	m.giveUp(c, why, detail) // in an outage: the segment has left right before the crash
}
