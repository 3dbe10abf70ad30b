package south_test

import (
	"flag"
	"runtime/debug"
	"testing"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/south"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run the simulation with this seed only, and print its trace")
	simFirst = flag.Uint64("sim.first", 1, "first seed of the simulation; 0: the time in microseconds")
	simLines = flag.Int("sim.lines", 4000, "lines of the trace of -sim.seed")
	simSeeds = flag.Int("sim.seeds", 0, "number of seeds of the simulation; 0: a number that fits the test's time")
)

// kind is a kind of simulation: what a seed means.
type kind struct {
	test         string
	plan         func(seed uint64) plan
	seeds, short int // how many are run if no flag says it
}

var (
	plain   = kind{test: "TestSimulation", plan: randomPlan, seeds: 1500, short: 200}
	crashes = kind{test: "TestEngineCrashes", plan: randomEnginePlan, seeds: 1000, short: 150}
	queues  = kind{test: "TestQueue", plan: randomQueuePlan, seeds: 1000, short: 150}
	jumps   = kind{test: "TestJumps", plan: randomJumpPlan, seeds: 1000, short: 150}
	alone   = kind{test: "TestEngineAlone", plan: randomAlonePlan, seeds: 1000, short: 150}
)

// TestSimulation runs random plans. A failure names its seed; -sim.seed runs that
// alone and prints what happened. make soak runs a million seeds of each kind.
func TestSimulation(t *testing.T) { plain.run(t) }

// TestEngineCrashes runs random plans in which the engine goes as well.
func TestEngineCrashes(t *testing.T) { crashes.run(t) }

// TestEngineAlone runs random plans in which the engine goes, mostly alone.
func TestEngineAlone(t *testing.T) { alone.run(t) }

func (k *kind) run(t *testing.T) {
	if *simSeed != 0 {
		k.show(t, *simSeed)
		return
	}
	n := *simSeeds
	switch {
	case n > 0:
	case testing.Short():
		n = k.short
	default:
		n = k.seeds
	}
	first := *simFirst
	if first == 0 {
		first = uint64(time.Now().UnixMicro())
	}
	// A run leaves little, and the next one does not look at it.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	var sum south.Stats
	serverCrashes, engines, failures := 0, 0, 0
	begun := time.Now()
	for i := range n {
		seed := first + uint64(i)
		w := run(k.plan(seed))
		serverCrashes += w.crashes - w.engines
		engines += w.engines
		sum.Recovered += w.machine.Stats.Recovered
		sum.Restored += w.machine.Stats.Restored
		sum.Synced += w.machine.Stats.Synced
		sum.Adopted += w.machine.Stats.Adopted
		if w.failure != "" {
			t.Errorf("seed %d: %s\n(go test -run %s -sim.seed=%d ./rawio/internal/south)", seed, w.failure, k.test, seed)
			if failures++; failures == 100 {
				n = i + 1
				break
			}
		}
		if done := i + 1; done%100_000 == 0 && done < n {
			t.Logf("%d seeds from %d on, %d failed, %.0f a second", done, first, failures, float64(done)/time.Since(begun).Seconds())
		}
	}
	t.Logf("%d seeds, %d to %d, %d failed; %d servers and %d engines crashed; by the last engines %d recoveries, %d connections restored, %d met, %d adopted",
		n, first, first+uint64(n)-1, failures, serverCrashes, engines, sum.Recovered, sum.Restored, sum.Synced, sum.Adopted)
}

// show runs one seed and prints its trace.
func (k *kind) show(t *testing.T, seed uint64) {
	p := k.plan(seed)
	p.traced = true
	w := run(p)
	t.Logf("%+v", p)
	t.Logf("%s", tail(w.trace, *simLines))
	if w.failure != "" {
		t.Fatal(w.failure)
	}
}
