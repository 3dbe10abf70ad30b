package south_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
)

// The simulation of an engine whose clock jumps, as after the host was suspended: nobody
// has waited for it, and nothing may end by that.

// jump has the engine's clock go forward.
type jump struct{ at, by time.Duration }

func randomJumpPlan(seed uint64) plan {
	p := randomPlan(seed)
	if seed/4%2 == 1 {
		p = randomEnginePlan(seed)
	}
	r := rand.New(rand.NewPCG(seed, 0x6a756d70))
	within := []time.Duration{50 * time.Millisecond, 800 * time.Millisecond, 10 * time.Second}
	for range 1 + r.IntN(4) {
		at := time.Duration(r.Int64N(int64(within[r.IntN(len(within))])))
		p.jumps = append(p.jumps, jump{at, time.Duration(r.Int64N(int64(2 * time.Hour)))})
	}
	if p.log != nil && len(p.engine) == 0 { // it is never down for so long
		p.log.policy, p.log.after = policy.DownUnprotect, 5*time.Minute
	}
	return p
}

// TestJumps runs random plans in which the clock jumps.
func TestJumps(t *testing.T) { jumps.run(t) }
