package rawio

import (
	"fmt"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestNoSlotsFoundFirst: why a connection has no slot the core knows, whoever notices
// first that it lives.
func TestNoSlotsFoundFirst(t *testing.T) {
	const why = "7 all connection slots are in use: there are 0 slots"
	for _, first := range []string{"look", "tap"} {
		r := newUnseenRig(t, 0)
		r.protect(policy.LogFull)
		r.handshake(7, gate.EventSYNACK)
		r.has(7, sockdiag.Established)
		if first == "look" {
			r.look(why)
			r.answered(7)
			r.expect()
		} else {
			r.answered(7)
			r.expect(why)
		}
		r.look()
	}
}

// TestPassedByTheGate: what began while packets passed by the gate is called so, also when
// they do not any more.
func TestPassedByTheGate(t *testing.T) {
	const ungated = "7 packets bypass the gate on its interface: filter"
	now := time.Now()
	for _, test := range []struct {
		name string
		link *guarded
		want string
	}{
		{"not attached", nil, fmt.Sprintf("7 its packets use an unprotected interface: %s", nameOf(unseenLink))},
		{"refused", &guarded{refused: errList}, fmt.Sprintf("7 its packets use an unprotected interface: %s", nameOf(unseenLink))},
		{"passed by", &guarded{why: "filter"}, ungated},
		{"until now", &guarded{passed: "filter", until: now.Add(time.Hour)}, ungated},
		{"long ago", &guarded{passed: "filter", until: now.Add(-time.Hour)}, "7 it was established without being observed: no SYN of it is known"},
		{"never", &guarded{}, "7 it was established without being observed: no SYN of it is known"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newUnseenRig(t, 4)
			r.protect(policy.LogFull)
			r.look()
			if delete(r.e.links.all, unseenLink); test.link != nil {
				r.e.links.all[unseenLink] = test.link
			}
			r.has(7, sockdiag.Established)
			r.look(test.want)
		})
	}
	t.Run("not known yet", func(t *testing.T) {
		r := newUnseenRig(t, 4)
		r.e.unseen.waits = time.Hour
		r.protect(policy.LogFull)
		r.look()
		r.has(7, sockdiag.Established)
		r.look()
		r.look()
		link := r.e.links.all[unseenLink]
		link.passed, link.until = "filter", r.e.unseen.last // it was there before the last look
		r.look(ungated)
	})
	t.Run("never known", func(t *testing.T) {
		r := newUnseenRig(t, 4)
		r.e.unseen.waits = time.Hour
		r.protect(policy.LogFull)
		r.has(7, sockdiag.Established)
		r.look()
		r.e.unseen.waits = 0
		r.look("7 it was established without being observed: no SYN of it is known")
	})
	t.Run("since its SYN", func(t *testing.T) {
		r := newUnseenRig(t, 4)
		r.protect(policy.LogFull)
		f := unseenFlow(7)
		syn := segment.Segment{Src: f.Client, Dst: f.Server, Seq: 1000, Flags: segment.SYN, Window: 500}
		r.e.do(func(m *south.Machine) { m.Segment(&syn, r.Now()) })
		for r.ahead < time.Minute { // so long ago, by the core's clock
			r.ahead += 200 * time.Millisecond
			r.e.do(func(m *south.Machine) { m.Tick() })
		}
		r.e.links.all[unseenLink] = &guarded{passed: "filter", until: time.Now().Add(-time.Minute / 2)}
		r.look() // half-open: nobody is served
		r.has(7, sockdiag.Established)
		r.look(ungated)
	})
}

// TestProxiedAskedAgain: while connection tracking does not answer, it is not known whether
// a SYN proxy is there, and it is asked again.
func TestProxiedAskedAgain(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.protect(policy.LogFull)
	r.handshake(7, gate.EventCookie)
	r.answered(7)
	r.has(7, sockdiag.Established)
	asked := 0
	r.entry = func(f Flow) (conntrack.Entry, error) {
		if asked++; asked == 1 {
			return conntrack.Entry{}, errList
		}
		return conntrack.Entry{Client: f.Client, Server: f.Server, SYNProxy: true}, nil
	}
	r.look()
	r.look("7 a SYN proxy on this host has answered its client")
	r.look()
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}
