package rawio

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/reason"
)

// watches has links keep the gate on the host's interfaces.
func (r *rig) watches() (ended <-chan struct{}) {
	r.links.begun = true
	return r.goes(func() { r.links.watch(r.closing) })
}

const otherLink = 5

// guards lets some proofs be made, and wants to know of interfaces by which packets are judged.
func (r *rig) guards(what string, eth0, eth1 bool) {
	r.t.Helper()
	r.sleep(proofWait)
	if r.links.has(rigLink) != eth0 || r.links.has(otherLink) != eth1 || r.model.Attached(otherLink) != eth1 {
		r.t.Errorf("%s: eth0 is guarded: %v, eth1: %v, the gate is on eth1: %v; said %s", what, r.links.has(rigLink),
			r.links.has(otherLink), r.model.Attached(otherLink), &r.said)
	}
	r.said.Reset()
}

// TestLinksWatch: the gate comes to interfaces that come up, leaves with those that go, and is put back
// where it was taken off: what passed meanwhile is not protected.
func TestLinksWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		_, l := r.serve()
		r.connect(l)
		ended := r.watches()
		r.guards("at first", true, false)
		r.host.add(otherLink, "eth1")
		r.news.link(unix.RTM_NEWLINK, otherLink)
		r.guards("comes up", true, true)
		r.host.remove(otherLink)
		r.news.link(unix.RTM_DELLINK, otherLink)
		r.guards("goes", true, false)

		if c := r.status(); !c.Protected {
			t.Fatalf("the connection by eth0 is not protected: %q", c.Reason)
		}
		r.model.mended[rigLink] = errors.New("taken off")
		r.news.link(unix.RTM_DELQDISC, rigLink)
		synctest.Wait()
		if c := r.status(); c.Protected || !strings.HasPrefix(c.Reason, string(reason.Ungated)) {
			t.Errorf("taken off: protected %v, %q", c.Protected, c.Reason)
		}
		r.guards("put back", true, false)

		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if !isClosed(ended) || !r.news.closed() || !r.host.closed || !r.proofs.closed {
			t.Errorf("ended: %v; closed: news %v, table %v, proofs %v", isClosed(ended), r.news.closed(), r.host.closed, r.proofs.closed)
		}
	})
}

// TestLinksNewsLost: when news of interfaces were lost they are listed; if they cannot be, again and
// again; and so they are when one cannot be asked for.
func TestLinksNewsLost(t *testing.T) {
	for name, tell := range map[string]func(r *rig){
		"lost":      func(r *rig) { r.news.told <- told{err: unix.ENOBUFS} },
		"not asked": func(r *rig) { r.news.link(unix.RTM_NEWLINK, rigLink) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.protects()
				r.watches()
				r.guards("at first", true, false)
				r.host.add(otherLink, "eth1")
				r.host.fails = errBroken
				tell(r)
				r.sleep(2 * proofEvery)
				if n := strings.Count(r.said.String(), "interfaces not listed"); n < 2 {
					t.Errorf("not listed %d times: %s", n, &r.said)
				}
				r.guards("not listed", true, false)
				r.host.fails = nil
				r.sleep(proofEvery)
				r.guards("listed", true, true)
				r.host.remove(rigLink)
				r.host.add(rigLink+10, "eth10")
				r.news.told <- told{err: unix.ENOBUFS}
				r.guards("another one", false, true)
				if !r.links.has(rigLink+10) || r.model.Attached(rigLink) {
					t.Errorf("eth10 is guarded: %v, the gate is on eth0: %v", r.links.has(rigLink+10), r.model.Attached(rigLink))
				}
			})
		})
	}
}

// TestLinksNotCaughtUp: while the gate's reports cannot be read, that no proof comes back is nothing
// against it.
func TestLinksNotCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		r.watches()
		r.guards("at first", true, false)
		r.model.readsFail = errBroken
		r.sleep(10 * proofTries * proofEvery)
		r.guards("not read", true, false)
	})
}
