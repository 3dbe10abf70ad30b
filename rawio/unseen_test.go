package rawio

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

const (
	earlier7      = "7 it began before its port was protected"
	unrecognized8 = "8 it was established without being observed: no SYN of it is known"
)

// TestUnseenMissing: a connection is declared once, although lists lack it.
func TestUnseenMissing(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.protect(policy.LogFull)
	r.has(9, sockdiag.Established)
	r.has(8, sockdiag.Established)
	r.sockets = r.sockets[1:]
	all := r.sockets
	r.look(unrecognized8)
	for range 3 { // the list breaks off
		r.fails = 0
		r.look()
	}
	r.fails = -1
	r.look()
	for range 3 { // the kernel has passed it over
		r.sockets = nil
		r.look()
		r.sockets = all
		r.look()
	}
	if why := r.why(8); why == "" {
		t.Error("the status does not know it any more")
	}
	r.sockets = nil
	r.look()
	r.look()
	if n := len(r.e.unseen.known); n != 0 {
		t.Errorf("%d connections that have ended are remembered", n)
	}
	r.has(8, sockdiag.Established)
	r.has(8, sockdiag.Established) // told of twice
	r.look(unrecognized8)
	r.sockets[0].Cookie++ // the next one between the same ends
	r.sockets = r.sockets[:1]
	r.look(unrecognized8)
}

// TestAliasesMissing: what came by another port is declared once, although the gate's list
// of these ports is not there at times.
func TestAliasesMissing(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.protect(policy.LogFull)
	const alias = 8080
	for _, client := range []uint16{8, 9} {
		r.has(client, sockdiag.Established)
		s := &r.sockets[len(r.sockets)-1]
		s.Flow.Server = netip.AddrPortFrom(s.Flow.Server.Addr(), alias)
		s.Transparent = client == 8 // the other one is somebody else's
	}
	good := func() (map[uint16]uint16, error) { return map[uint16]uint16{alias: unseenPort, 9000: 9001}, nil }
	r.e.unseen.atGate = good
	r.look("8 it was dialled at another port than its listener's (TPROXY): its client has dialled 192.0.2.2:8080")
	r.e.unseen.atGate = func() (map[uint16]uint16, error) { return nil, errList }
	for range 3 {
		r.look()
	}
	r.e.unseen.atGate = good
	r.look()
}

// TestUnseenEarlier: what a port had before it was protected is called so, although it
// could not be listed at once, and although it was half-open.
func TestUnseenEarlier(t *testing.T) {
	for _, fails := range []int{-1, 0, 1} {
		r := newUnseenRig(t, 4)
		r.has(7, sockdiag.Established)
		r.has(6, sockdiag.SynReceived)
		r.fails = fails
		r.protect(policy.LogFull)
		r.fails = -1
		if fails == 0 {
			r.expect()
			r.look(earlier7)
		} else {
			r.expect(earlier7)
			r.look()
		}
		r.has(8, sockdiag.Established)
		r.look(unrecognized8)
		r.sockets[1].State = sockdiag.Established
		r.look("6 it began before its port was protected")
		r.look()
	}
}

// TestUnseenEarlierTwice: so it is if the second list is given up, by which it is sure.
func TestUnseenEarlierTwice(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.has(7, sockdiag.Established)
	list, n := r.e.unseen.list, 0
	r.e.unseen.list = func(ports []uint16, f func(*sockdiag.Socket)) error {
		if n++; n == 2 {
			return errList
		}
		return list(ports, f)
	}
	r.protect(policy.LogFull)
	r.expect()
	r.look(earlier7)
}

// TestLogPolicyTurnedOn: connections that began while nothing was logged were counted then;
// when it is, they are still what they were, and are not declared again.
func TestLogPolicyTurnedOn(t *testing.T) {
	for _, fails := range []int{-1, 0} {
		r := newUnseenRig(t, 4)
		r.protect(policy.LogOff)
		r.has(7, sockdiag.Established)
		r.has(6, sockdiag.SynReceived)
		r.look()
		r.fails = fails
		r.protect(policy.LogFull)
		r.fails = -1
		r.look()
		r.sockets[1].State = sockdiag.Established
		r.has(8, sockdiag.Established)
		r.look(unrecognized8)
		for _, client := range []uint16{6, 7} {
			if why := r.why(client); why != string(reason.Off) {
				t.Errorf("the status says of %d: %q", client, why)
			}
		}
	}
}

// TestUnseenMany: who makes very many half-open connections that are not protected does
// not keep others from being named for longer than that lasts, and nothing twice.
func TestUnseenMany(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.protect(policy.LogFull)
	r.look()
	declared := func(f Flow) {
		r.e.unseen.note(&south.Report{Kind: south.ConnUnprotected, Port: unseenPort, Flow: f, Why: reason.LogFull, Reason: string(reason.LogFull)})
	}
	for i := range unseenMax {
		f := unseenFlow(uint16(i))
		f.Client = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), uint16(i))
		declared(f)
	}
	declared(unseenFlow(7))
	r.has(7, sockdiag.Established)
	r.look()
	if why := r.why(7); why != string(reason.LogFull) {
		t.Errorf("the status says %q", why)
	}
	r.has(8, sockdiag.Established)
	r.look(unrecognized8)
	r.look()
	if n := len(r.e.unseen.known); n != 2 {
		t.Errorf("%d are remembered", n)
	}
}

// TestKept: of a connection that is not protected for the time being the core tells, and
// it is not remembered beside.
func TestKept(t *testing.T) {
	r := newUnseenRig(t, 4)
	r.protect(policy.LogFull)
	r.e.do(func(m *south.Machine) { m.Via(unseenLink) })
	r.handshake(7, gate.EventSYNACK)
	r.answered(7)
	r.has(7, sockdiag.Established)
	r.e.do(func(m *south.Machine) {
		m.TrialResult(unseenPort, unseenLink, false, "a SYN was not answered")
	})
	r.look("7 this host drops the handshake by which it would be recovered: a SYN was not answered")
	if n := len(r.e.unseen.known); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

// TestUnseenTogether: what the status asks for, what is protected anew, and the core's own
// reports come at the same time.
func TestUnseenTogether(t *testing.T) {
	r := newUnseenRig(t, 4)
	for i := range uint16(600) { // more than are compared at once
		r.has(i+1, sockdiag.Established)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				r.e.unseen.look.Lock()
				r.e.lookAtAll([]uint16{unseenPort}, func(s *sockdiag.Socket) { r.e.unprotected(s) })
				r.e.unseen.look.Unlock()
			}
		})
	}
	wg.Go(func() { r.protect(policy.LogFull) })
	wg.Wait()
	if len(r.told) != len(r.sockets) {
		t.Errorf("%d times said of %d connections", len(r.told), len(r.sockets))
	}
	for _, s := range r.told {
		if _, why, _ := strings.Cut(s, " "); why != string(reason.Earlier) {
			t.Errorf("said %q", s)
		}
	}
}

// BenchmarkLook looks at 10,000 connections, of which half are protected, when nothing has
// changed.
func BenchmarkLook(b *testing.B) {
	const n = 10000
	r := newUnseenRig(b, n)
	r.protect(policy.LogFull)
	for i := range uint16(n) {
		if i%2 == 0 {
			r.handshake(i+1, gate.EventSYNACK)
		}
		r.has(i+1, sockdiag.Established)
	}
	look := func() {
		r.e.unseen.look.Lock()
		r.e.lookAtAll([]uint16{unseenPort}, nil)
		r.e.unseen.look.Unlock()
	}
	look()
	if len(r.told) != n/2 {
		b.Fatalf("%d are not protected", len(r.told))
	}
	b.ReportAllocs()
	for b.Loop() {
		look()
	}
}
