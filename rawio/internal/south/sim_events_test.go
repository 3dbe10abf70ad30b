package south_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The simulation of a ring of events that has no room for some time, as while many
// connections begin or end at once.

var eventLoss = kind{test: "TestEventsLost", plan: randomEventLossPlan, seeds: 1000, short: 150}

// TestEventsLost: what is lost comes again, or the core finds it in the slots.
func TestEventsLost(t *testing.T) { eventLoss.run(t) }

func randomEventLossPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 0x6c6f737365))
	up := upTo(r)
	base := []func(uint64) plan{randomPlan, randomPlan, randomEnginePlan, randomAlonePlan}
	p := base[r.IntN(len(base))](seed)
	for range 1 + r.IntN(8) {
		p.eventsFull = append(p.eventsFull, crash{at: up(time.Second), pause: up(100 * time.Millisecond)})
	}
	if r.IntN(4) == 0 {
		p.eventsFull = append(p.eventsFull, crash{at: up(time.Second), pause: up(5 * time.Second)})
	}
	return p
}

func (w *world) planEvents() {
	for _, f := range w.plan.eventsFull {
		w.clock.After(f.at, func() { w.gate.EventsFull = true; w.note("the events are full") })
		w.clock.After(f.at+f.pause, func() { w.gate.EventsFull = false; w.note("the events have room") })
	}
}
