package south_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// The simulation of a log that has no room for a while, where nothing else goes wrong. A client
// whose only segment in flight is a repetition is not moved by a window that opens, but waits
// for an acknowledgment, or for its time-out, as Linux does: what the tap has had it must
// not say again when the log has been well for some time.

var prompt = kind{test: "TestPrompt", plan: randomPromptPlan, seeds: 500, short: 100}

// TestPrompt runs random plans of that kind.
func TestPrompt(t *testing.T) { prompt.run(t) }

// promptAfter is more than anything takes but a time-out of the client: the core's ticks may be a second apart.
const promptAfter = 2 * time.Second

func randomPromptPlan(seed uint64) plan {
	p := randomPlan(seed)
	r := rand.New(rand.NewPCG(seed, 0x70726f6d7074))
	up := upTo(r)
	p.prompt = true
	p.impairment = rawiotest.Impairment{Delay: p.impairment.Delay}
	p.tapLoss, p.crashes, p.atStep = 0, nil, nil
	p.wire.crashes, p.wire.full = nil, nil
	p.log = &logPlan{sync: up(20 * time.Millisecond), upcall: up(5 * time.Millisecond), read: up(10 * time.Millisecond), protect: true}
	at := up(300 * time.Millisecond)
	for range 1 + r.IntN(3) {
		f := crash{at: at, pause: up(20 * time.Second)}
		p.log.full = append(p.log.full, f)
		at += f.pause + up(2*time.Second)
	}
	for i := range p.clients {
		b := &p.clients[i]
		b.end, b.dialAt = clientCloses, 0
	}
	return p
}

// heard is a segment that the tap has had first.
type heard struct {
	end uint32
	at  time.Duration // since the world began
}

// checkPrompt takes a client's packet at the server's interface.
func (w *world) checkPrompt(f *flow, g *rawiotest.Packet) {
	if f == nil || g.Len() == 0 || g.Flags.Has(segment.SYN) {
		return
	}
	for _, h := range f.heard {
		if seqnum.Less(g.Seq, h.end) {
			if since := max(h.at, w.late.well); w.late.full == 0 && w.clock.Now()-since > promptAfter {
				w.fail("%v: client %d repeats %d, which came %v ago; the log is well for %v",
					&g.Segment, f.app.n, g.Seq-f.irs, w.clock.Now()-h.at, w.clock.Now()-w.late.well)
			}
			break
		}
	}
	if n := len(f.heard); n == 0 || seqnum.Less(f.heard[n-1].end, g.End()) {
		f.heard = append(f.heard, heard{g.End(), w.clock.Now()})
	}
}
