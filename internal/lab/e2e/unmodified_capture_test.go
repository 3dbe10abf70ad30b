package e2e

import "testing"

// TestUnmodifiedCaptureHoldsInvariants is TestCaptureHoldsInvariants for a server
// that was built without ftnet.
func TestUnmodifiedCaptureHoldsInvariants(t *testing.T) {
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			captured(t, f, unmodifiedOptions(7000).flags, plainCounter(t))
		})
	}
}
