package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/gate"
)

// unfollowed takes a segment of the server that can't be repeated after a crash, one
// with urgent data, or that can't be translated, a fragment. The gate has let the
// connection go with it, unless it had to hold it.
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
	m.giveUp(c, why, detail) // in an outage it has left right before the crash
}
