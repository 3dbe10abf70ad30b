package south_test

import (
	"math/rand/v2"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
)

// logPlan is what becomes of the log in a run: nil is a log in memory.
type logPlan struct {
	sync    time.Duration // most between two moments at which something becomes stable
	upcall  time.Duration // most until the log says so
	read    time.Duration // most until a read is answered
	buffer  int64         // bytes that may wait to become stable; 0: any
	down    []crash       // it cannot be reached
	full    []crash       // it has no room
	policy  policy.LogDown
	after   time.Duration // of DownUnprotect
	protect bool          // LogDown is DownHold: nothing may lose its protection
}

func randomLogPlan(seed uint64) *logPlan {
	r := rand.New(rand.NewPCG(seed, 0x6c6f67))
	some := func(p float64) bool { return r.Float64() < p }
	up := upTo(r)
	p := &logPlan{sync: up(20 * time.Millisecond), upcall: up(5 * time.Millisecond), read: up(10 * time.Millisecond), protect: true}
	if some(0.2) {
		p.read = up(time.Second)
	}
	if some(0.3) {
		p.buffer = 1000 << r.IntN(6)
	}
	times := func(most time.Duration) (list []crash) {
		for range 1 + r.IntN(3) {
			c := crash{at: up(700 * time.Millisecond), pause: up(200 * time.Millisecond)}
			if some(0.2) {
				c.pause = up(most)
			}
			list = append(list, c)
		}
		return list
	}
	if some(0.5) {
		p.down = times(30 * time.Second)
	}
	if some(0.3) {
		p.full = times(5 * time.Second)
	}
	if some(0.3) {
		p.policy, p.after = policy.DownUnprotect, up(2*time.Second)+time.Millisecond
	}
	return p
}
