package e2e

import "testing"

// TestUnmodifiedCounterSurvivesKills is TestCounterSurvivesKills for a server
// that was built without ftnet.
func TestUnmodifiedCounterSurvivesKills(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, unmodifiedOptions(7000), plainCounter(t), "-listen", ":7000")
			survive(r, f)
		})
	}
}
