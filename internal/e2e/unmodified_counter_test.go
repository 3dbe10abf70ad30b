package e2e

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/netlab"
)

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
	t.Run("lossy", func(t *testing.T) {
		t.Parallel()
		o := unmodifiedOptions(7000)
		o.lab.Impair = &netlab.Impair{Seed: 3, Loss: 0.01, Duplicate: 0.005, Reorder: 0.02, ReorderDelay: time.Millisecond}
		survive(start(t, o, plainCounter(t), "-listen", ":7000"), families[0])
	})
}
