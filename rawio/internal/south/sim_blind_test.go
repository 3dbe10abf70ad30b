package south_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// The simulation of clients whose data reaches the kernel in packets that the tap
// does not understand, from some moment on.

var blind = kind{test: "TestBlindTap", plan: randomBlindPlan, seeds: 1000, short: 150}

// TestBlindTap: they are let go of, and go on to their end; nobody else is.
func TestBlindTap(t *testing.T) { blind.run(t) }

func randomBlindPlan(seed uint64) plan {
	p := randomPlan(seed)
	r := rand.New(rand.NewPCG(seed, 0x626c696e64))
	p.log, p.tapLoss = nil, 0
	for i := range p.clients {
		if r.IntN(2) == 0 {
			p.clients[i].blindFrom = time.Duration(1 + r.Int64N(int64(time.Second)))
		}
	}
	return p
}

// blind reports whether the tap does not see what some client sends.
func (p *plan) blind() bool {
	return slices.ContainsFunc(p.clients, func(b behaviour) bool { return b.blindFrom > 0 })
}

// unseen reports whether the tap does not see what a client sends.
func (w *world) unseen(a *clientApp, g *rawiotest.Packet) bool {
	return a.b.blindFrom > 0 && w.clock.Now() >= a.b.blindFrom && len(g.Payload) > 0
}

// vain reports whether a connection is rightly said not to be recovered: its server had
// answered what the log lacks and the client can't say again.
func (w *world) vain(f *flow, r *south.Report) bool {
	return f != nil && f.app.b.blindFrom > 0 && w.crashes > 0 &&
		(strings.Contains(r.Reason, "does not come as far") || strings.HasPrefix(r.Reason, string(reason.Unseen)))
}

// forsaken reports whether a client may meet a kernel that has forgotten its closed
// connection, as with plain TCP: the tap did not see what it repeats.
func (f *flow) forsaken() bool { return f.app.b.blindFrom > 0 && (f.open || f.app.letGo()) }

// gaveUp reports whether a client that had closed has rightly given up, as its kernel
// does after orphanRetries: what it repeated before the last recovery the tap did not see,
// so that nobody could answer it, and since then the network has lost it each time.
func (a *clientApp) gaveUp() bool {
	if a.b.blindFrom == 0 || !a.sock.Orphan() || !errors.Is(a.sock.Err(), rawiotest.ErrTimeout) {
		return false
	}
	f := a.w.flows[a.flow]
	lacks := f.irs + 1 + uint32(f.stable)
	since := func(list []missed, from time.Duration) (n int) {
		for _, b := range list {
			if b.at >= from && b.says(lacks) {
				n++
			}
		}
		return n
	}
	return since(f.missed, 0) > 0 && since(f.missed, f.recovered) == 0 && since(f.mislaid, f.recovered) > 0
}

// mayLetGo reports whether a connection is rightly said to go on without protection.
func (w *world) mayLetGo(f *flow, r *south.Report) bool {
	switch {
	case f == nil:
		return false
	case r.Why == reason.Unseen:
		return f.inVain(r.Logged, w.clock.Now()) // as may be by chance where the tap loses packets
	}
	return f.app.b.blindFrom == 0 && w.plan.log != nil && w.plan.log.policy == policy.DownUnprotect && w.plan.jumps == nil
}

// inVain reports whether a client has sent segments again and again since the log has all before
// offset off and no more, and the tap has never seen it: three times in missingAfter, or
// twice in missingSlowAfter. It need not be what is missing: a client that has not got an ACK retransmits
// what comes before that, which the kernel answers, or the gate holds in an outage, as well.
func (f *flow) inVain(off int64, now time.Duration) bool {
	n, seq, lasted := 0, f.irs+1+uint32(off), now-f.came
	for _, b := range f.missed {
		if b.says(seq) || b.at >= f.came && seqnum.Less(b.Left, seq) {
			n++
		}
	}
	return n >= south.MissingAnswers && lasted >= south.MissingAfter || n >= south.MissingSlowAnswers && lasted >= south.MissingSlowAfter
}
