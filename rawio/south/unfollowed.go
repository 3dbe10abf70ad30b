package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/segment"
)

// unfollowed takes a segment of the server that can't be repeated after a crash, one
// with urgent data, or that can't be translated, a fragment. The gate has let the
// connection go with it, unless it had to hold it.
func (m *Machine) unfollowed(c *Conn, s *segment.Segment) {
	why, held := reason.Urgent, false
	detail := "by the server"
	if !s.Flags.Has(segment.URG) {
		why, detail, held = reason.Fragments, "", c.is(recovered)
	}
	switch c.state {
	case Established:
		if held {
			m.reset(c, why.With(detail))
			return
		}
		m.unprotect(c, why, detail)
	case Open:
		if held {
			m.Abort(c, why.With(detail))
		}
	case Outage, Reconnecting, Rolling: // it has left right before the crash
		m.reset(c, why.With(detail))
	}
}
