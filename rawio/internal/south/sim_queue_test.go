package south_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// The simulation of listeners whose queue is short, that accept late, that wait for data
// (TCP_DEFER_ACCEPT), or whose host answers by SYN cookies.

type queuePlan struct {
	late time.Duration // from listening to the first Accept
	slow time.Duration // of the core's packets to the kernel, in order; 0: at once
}

func randomQueuePlan(seed uint64) plan {
	p := randomPlan(seed)
	r := rand.New(rand.NewPCG(seed, 0x7175657565))
	p.stack.Backlog = 1 + r.IntN(4)
	if r.IntN(3) == 0 {
		p.stack.Cookies = rawiotest.CookiesAlways
	}
	if r.IntN(3) == 0 {
		p.stack.DeferAccept = 1 + r.IntN(3)
	}
	p.stack.StrictEcho = r.IntN(2) == 0
	if r.IntN(2) == 0 {
		p.queue.late = time.Duration(r.Int64N(int64(2 * time.Second)))
	}
	if p.log != nil { // of what is not protected plain TCP resets some as well
		p.log.policy, p.log.after = policy.DownHold, 0
	}
	if r.IntN(2) == 0 {
		p.window = 8
	}
	// An ACK of a roll-forward that outlives its socket would be a third ACK once more.
	if r.IntN(3) == 0 && !p.unmodified {
		p.queue.slow = 1 + time.Duration(r.Int64N(int64(2*time.Millisecond)))
	}
	for range r.IntN(12) { // at once, more or less
		b := p.clients[r.IntN(len(p.clients))]
		b.dialAt = time.Duration(r.Int64N(int64(20 * time.Millisecond)))
		b.bytes /= 4
		p.clients = append(p.clients, b)
	}
	return p
}

// socket is what the server's stack has of a flow.
func (w *world) socket(f segment.Flow) south.SocketState {
	s := w.server.Lookup(f.Server, f.Client)
	switch {
	case s == nil || s.State() == rawiotest.Closed:
		return south.SocketNone
	case s.State() == rawiotest.SynReceived:
		return south.SocketHalfOpen
	}
	return south.SocketOpen
}

// progress is how far the server's socket has come. A FIN is not counted as sent.
func (w *world) progress(f segment.Flow) (south.Progress, bool) {
	s := w.server.Lookup(f.Server, f.Client)
	if s == nil {
		return south.Progress{}, false
	}
	i := s.Info()
	p := south.Progress{Received: int64(i.RcvNxt - i.IRS - 1), Sent: int64(i.SndNxt - i.ISS - 1)}
	switch s.State() {
	case rawiotest.FinWait1, rawiotest.FinWait2, rawiotest.Closing, rawiotest.LastAck, rawiotest.TimeWait:
		p.Sent--
	}
	return p, true
}

// room is what the server's queue takes.
func (w *world) room() int {
	if p := w.process; p != nil && !p.dead {
		return p.l.Room()
	}
	return math.MaxInt
}

// TestQueue runs random plans with such listeners.
func TestQueue(t *testing.T) { queues.run(t) }

// TestQueueHasCookies: the plans are such that SYN cookies are sent.
func TestQueueHasCookies(t *testing.T) {
	cookies := 0
	for seed := range uint64(20) {
		cookies += run(randomQueuePlan(seed)).cookies
	}
	if cookies == 0 {
		t.Error("none was sent")
	}
}
