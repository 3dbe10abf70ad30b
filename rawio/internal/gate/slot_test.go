package gate

import "testing"

// TestGateSide: what the gate notes is what the engine reads.
func TestGateSide(t *testing.T) {
	var s Slot
	g := s.GateSide()
	g.CountBareACK()
	g.Hold(0x40)
	g.CountEgress()
	g.CountHeldIn()
	if !s.Held() || s.HeldFlags() != 0x40 || s.BareACKs() != 1 || s.Egress() != 1 || s.HeldIn() != 1 {
		t.Errorf("%+v", &s)
	}
	if !s.TakeHeld() || s.TakeHeld() {
		t.Error("held is not taken once")
	}
	g.Hold(0)
	if s.HeldFlags() != 0 || s.BareACKs() != 1 {
		t.Error("the newest held ACK's flags are not those that count")
	}
	g.Abort()
	g.Open(OpenedUrgent)
	g.Open(OpenedStall)
	if !s.Aborted() || s.WhyOpened() != OpenedUrgent {
		t.Errorf("aborted %v, opened %v", s.Aborted(), s.WhyOpened())
	}
	if _, passed := s.FIN(); passed {
		t.Error("a RST is a FIN")
	}
}
