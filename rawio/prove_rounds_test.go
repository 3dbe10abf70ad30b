package rawio

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// provedLinks are links with one interface, on whose way there is the gate's model.
type provedLinks struct {
	*links
	t     *testing.T
	model *modelGate
	g     *guarded
	now   time.Time
	told  []string // why packets may pass by the gate, or empty, in order
	// What happens to packets at the interface.
	passOut, passIn bool // they pass by the gate
	down            error
	lost            uint64   // of the gate's reports, so far
	loses           bool     // each report is lost
	ports           []uint16 // of the packets that were sent
	sixes           int      // of these, IPv6
}

func newProvedLinks(t *testing.T, why string) *provedLinks {
	p := &provedLinks{t: t, model: newModelGate(), now: time.Unix(1000, 0)}
	p.g = &guarded{index: rigLink, name: "eth0", why: why}
	p.links = &links{all: map[int]*guarded{rigLink: p.g}, reported: map[int]string{}, wakeup: make(chan struct{}, 1)}
	p.gate, p.log = p.model, hclog.NewNullLogger()
	p.changed = func(news map[int]string) { p.told = append(p.told, news[rigLink]) }
	p.prover.gate, p.prover.via = p.model, p
	for _, port := range []uint16{80, 81} {
		_ = p.model.SetService(port, gate.ServiceListen, false)
	}
	p.setPorts([]uint16{80})
	return p
}

func (p *provedLinks) Close() error { return nil }

// Send is the interface: what leaves is judged at egress, and what the gate returns at ingress.
func (p *provedLinks) Send(packet []byte, to *unix.SockaddrLinklayer) error {
	if to.Ifindex != rigLink {
		p.t.Errorf("sent by interface %d", to.Ifindex)
	}
	if p.down != nil {
		return p.down
	}
	packet = slices.Clone(packet)
	if _, v6, _ := gate.Proof(packet); v6 {
		p.sixes++
	}
	p.ports = append(p.ports, p.prover.flow.Server.Port())
	if !p.passOut && p.model.Egress(packet, 0) != gatetest.Returned {
		p.t.Error("the gate does not return it")
	}
	if !p.passIn && !p.passOut && p.model.Ingress(packet, 0) != gatetest.Held {
		p.t.Error("the gate does not take it")
	}
	return nil
}

// rounds does some rounds, each when it is due, and hands over what the gate reports in between.
func (p *provedLinks) rounds(n int) {
	for range n {
		next := p.round(p.now, p.lost)
		if p.now = next; p.g.proof.due.After(p.now) { // of a packet that was sent just now, by the host's clock
			p.now = p.g.proof.due
		}
		p.model.pending()
		for _, ev := range p.model.events {
			if p.loses {
				p.lost++
			} else {
				p.proved(&ev)
			}
		}
		p.model.events = nil
	}
}

func (p *provedLinks) want(why string, told ...string) {
	p.t.Helper()
	if p.g.why != why || !slices.Equal(p.told, told) {
		p.t.Errorf("why is %q, want %q; told %q, want %q", p.g.why, why, p.told, told)
	}
	p.told = nil
}

// TestProofComesBack: a new interface is not guarded before a packet of ours has passed the gate in
// both directions, and then it is; packets are of both address families in turns.
func TestProofComesBack(t *testing.T) {
	p := newProvedLinks(t, whyNew)
	p.rounds(1)
	p.want(whyNew, whyNew)
	p.rounds(1)
	p.want("", "")
	if p.rounds(8); p.sixes != len(p.ports)/2 {
		t.Errorf("%d of %d packets were IPv6", p.sixes, len(p.ports))
	}
	p.want("")
}

// TestProofMissing: where packets pass by the gate it is found after some tries in vain, after each of
// which the gate is looked after; in which direction is said; and when the gate sees them again the
// interface is guarded.
func TestProofMissing(t *testing.T) {
	for _, test := range []struct {
		name            string
		passOut, passIn bool
		want            string
	}{
		{"egress", true, false, "sent packets do not reach it"},
		{"ingress", false, true, "received packets do not reach it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProvedLinks(t, "")
			p.rounds(2)
			p.want("")
			p.passOut, p.passIn = test.passOut, test.passIn
			p.rounds(1) // this packet is missed
			p.rounds(proofTries - 1)
			p.want("")
			if p.rounds(1); p.model.mends != proofTries {
				t.Errorf("the gate was looked after %d times", p.model.mends)
			}
			p.want(test.want, test.want)
			p.passOut, p.passIn = false, false
			p.rounds(2)
			p.want("", "")
		})
	}
}

// TestProofReportLost: packets whose reports may be lost prove nothing against the gate.
func TestProofReportLost(t *testing.T) {
	p := newProvedLinks(t, "")
	p.loses = true
	p.rounds(10 * proofTries)
	p.want("")
}

// TestProofFindsGateGone: an interface that the gate was taken off is not guarded until it is proved
// that it is on again; one that is down has nothing to prove.
func TestProofFindsGateGone(t *testing.T) {
	p := newProvedLinks(t, "")
	p.rounds(2)
	p.model.mended[rigLink] = errors.New("taken off")
	p.lookAt(rigLink)
	p.rounds(1)
	p.want("taken off", "taken off")
	p.rounds(1)
	p.want("", "")
	for _, p.down = range []error{unix.ENETDOWN, unix.ENXIO, unix.ENODEV} {
		p.rounds(2 * proofTries)
		p.want("")
	}
}

// TestMendsAreBounded: who takes the gate away again and again is not fought without a pause.
func TestMendsAreBounded(t *testing.T) {
	p := newProvedLinks(t, "")
	mend := func(want int) {
		t.Helper()
		for range 3 * mendsAtOnce {
			p.model.mended[rigLink] = errors.New("taken off")
			p.g.look = true
			p.mend(p.g, p.now)
		}
		if p.model.mends != want {
			t.Errorf("put back %d times, want %d", p.model.mends, want)
		}
	}
	mend(mendsAtOnce)
	p.now = p.now.Add(mendsPause)
	mend(mendsAtOnce)
	p.now = p.now.Add(1)
	mend(2 * mendsAtOnce)
}

// TestProofPortsTakeTurns: the packets are of one port after the other, and of none when there is none.
func TestProofPortsTakeTurns(t *testing.T) {
	p := newProvedLinks(t, "")
	p.setPorts([]uint16{81, 80})
	var turns []uint16
	for range 4 {
		if err := p.prover.turn(p.now); err != nil {
			t.Fatal(err)
		}
		p.prover.ports = p.sightings.services()
		turns = append(turns, p.prover.flow.Server.Port())
		p.now = p.now.Add(portsTurn)
	}
	if !slices.Equal(turns, []uint16{0, 80, 81, 80}) {
		t.Errorf("ports by turns: %v", turns)
	}
	last := p.prover.flow
	if p.prover.ports = nil; p.prover.turn(p.now) != nil || p.prover.flow.Server.Port() != 0 || p.model.Bound(last) {
		t.Errorf("without a port: %v, bound: %v", p.prover.flow, p.model.Bound(last))
	}
}
