package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestImage: Begin gives a slot to a connection, whatever was in it, and Renew leaves it its mode
// and what belongs to the connection.
func TestImage(t *testing.T) {
	full := Image{
		Mode: ModeLive, Flags: FlagXlate | FlagLimit | FlagTS, Limit: 1, Stable: 2, High: 3, Delta: 4, TSDelta: 5, Base: 6,
		KernelScale: 7, ClientScale: 8, SndNxt: 9, Ack: 10, Edge: 11, TSVal: 12, TSEcr: 13,
	}
	read := func(s *Slot) Image {
		i := Image{
			Mode: s.Mode(), Flags: s.Flags(), Limit: s.Limit(), Stable: s.Stable(), High: s.High(), Delta: s.Delta(), TSDelta: s.TSDelta(),
			Base: s.Base(), SndNxt: s.SndNxt(), Ack: s.Ack(), Edge: s.Edge(), TSVal: s.TSVal(), TSEcr: s.TSEcr(),
		}
		i.KernelScale, i.ClientScale = s.Scales()
		return i
	}
	var s Slot
	s.SetFIN(99)
	s.SetReleased(ReleasedCrashed)
	s.Begin(14, 15, &full)
	if diff := cmp.Diff(full, read(&s)); diff != "" {
		t.Errorf("after Begin (-want +got)\n%s", diff)
	}
	if _, fin := s.FIN(); fin || s.Released() != ReleasedNo || s.Gen() != 14 || s.IRS() != 15 {
		t.Errorf("after Begin: FIN %v, released %v, generation %d, IRS %d", fin, s.Released(), s.Gen(), s.IRS())
	}

	s.SetMode(ModeSpoof)
	s.SetFIN(99)
	s.SetReleased(ReleasedCrashed)
	next := Image{Mode: ModeLive, Stable: 20}
	s.Renew(&next)
	next.Mode = ModeSpoof
	if diff := cmp.Diff(next, read(&s)); diff != "" {
		t.Errorf("after Renew (-want +got)\n%s", diff)
	}
	if _, fin := s.FIN(); fin || s.Released() != ReleasedCrashed || s.Gen() != 14 || s.IRS() != 15 {
		t.Errorf("after Renew: FIN %v, released %v, generation %d, IRS %d", fin, s.Released(), s.Gen(), s.IRS())
	}
}
