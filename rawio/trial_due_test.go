package rawio

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// dueRig tries handshakes at an entrance whose clients are on the link: what is sent to them needs
// no route. Nobody looks at what the gate reports, so that each answer is found after trialWait.
type dueRig struct {
	*rig
	rules *fakeNews
	opens int // attempts to watch rule sets
	began time.Time
	syns  []time.Duration // since then, when there were SYNs
	lost  bool            // SYNs are lost
	ended <-chan struct{}
}

var (
	dueServer = netip.MustParseAddrPort("169.254.0.2:7000")
	dueFlow   = Flow{Client: netip.MustParseAddrPort("169.254.0.1:40000"), Server: dueServer}
)

func newDueRig(t *testing.T, refusals int) *dueRig {
	r := &dueRig{rig: newRig(t, nil), rules: newFakeNews(), began: time.Now()}
	r.protects()
	r.serveAt(dueServer)
	r.trials.watchRules = func() *nftNews {
		r.wire.Lock()
		defer r.wire.Unlock()
		if r.opens++; r.opens <= refusals {
			return nil
		}
		n := &nftNews{changes: make(chan struct{}, 1)}
		n.news = readNews(r.rules, func([]syscall.NetlinkMessage) { ring(n.changes) })
		return n
	}
	r.drop = func(*segment.Segment, int) bool {
		r.syns = append(r.syns, time.Since(r.began))
		return r.lost
	}
	r.ended = r.goes(r.trialLoop)
	r.trials.noteClient(dueFlow, rigLink)
	return r
}

// want lets time pass, until so much after the beginning, and wants to have had SYNs at these times.
func (r *dueRig) want(until time.Duration, times ...time.Duration) {
	r.t.Helper()
	r.sleep(until - time.Since(r.began))
	if !slices.Equal(r.syns, times) {
		r.t.Errorf("until %v there were SYNs at %v, want %v", until, r.syns, times)
	}
	r.syns = nil
}

// changed is a change of rule sets.
func (r *dueRig) changed() {
	r.rules.told <- told{messages: []syscall.NetlinkMessage{}}
}

// TestTrialsDue: a handshake is tried when a client has come, then from time to time, and when a rule
// set has changed, but not all the time because of such changes.
func TestTrialsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		r := newDueRig(t, 0)
		r.want(s, 0)
		if list := r.Handshakes(); len(list) != 1 || !list[0].Answered || list[0].Interface != "eth0" {
			t.Errorf("found %+v", list)
		}
		r.want(trialEvery)
		r.want(trialEvery+s, trialEvery+trialWait)
		const at = trialEvery + 100*s
		r.want(at)
		r.changed()
		r.want(at+s, at)
		r.changed()
		r.want(at + 2*s) // it has to rest
		r.changed()
		r.want(at+trialsPause+s, at+trialsPause)
		r.want(at + 60*s)
		r.changed()
		r.want(at+61*s, at+60*s)
		r.rules.told <- told{err: errBroken} // some changes were lost
		r.want(at+70*s, at+60*s+trialsPause)
	})
}

// TestTrialsUnanswered: what is not answered is tried again soon, and more and more rarely.
func TestTrialsUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDueRig(t, 0)
		r.lost = true
		const takes = trialRounds * 3 * trialWait
		var times []time.Duration
		for began, pause := time.Duration(0), unansweredEvery; began < 2*time.Minute; began, pause = began+takes+pause, 2*pause {
			for i := range time.Duration(trialRounds * 3) {
				times = append(times, began+i*trialWait)
			}
		}
		r.want(2*time.Minute, times...)
	})
}

// TestTrialsEnd: Close takes back a handshake that is under way, and ends what tells of rule sets;
// where nobody can tell of them it is tried again to ask.
func TestTrialsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDueRig(t, 1)
		r.want(trialWait/2, 0)
		if len(r.stack.Sockets()) != 1 {
			t.Fatalf("the server has %d half-open connections", len(r.stack.Sockets()))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		flows, _ := r.model.Model.Flows()
		if !isClosed(r.ended) || len(r.stack.Sockets()) > 0 || len(flows) > 0 || len(r.model.misused) > 0 {
			t.Errorf("ended: %v; %d sockets and %d flows are left; after Close the gate is asked for %v",
				isClosed(r.ended), len(r.stack.Sockets()), len(flows), r.model.misused)
		}
		if r.opens != 2 || !r.rules.closed() {
			t.Errorf("opened %d times; closed: %v", r.opens, r.rules.closed())
		}
		if v := r.trials.all[entrance{rigPort, rigLink, false}]; v == nil || !v.since.IsZero() {
			t.Errorf("a trial that was given up has found %+v", v)
		}
	})
}
