package kernel

import (
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// proofs is a packet socket by which a test has the gate prove that it is in the way.
type proofs struct {
	gate *Gate
	flow segment.Flow
	fd   int
}

func newProofs(t *testing.T, g *Gate) *proofs {
	t.Helper()
	p := &proofs{gate: g, flow: gate.ProofFlow(servicePort)}
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	must(t, g.BindProof(p.flow))
	var err error
	p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

// prove returns what the gate says of a packet: EventProofOut and EventProofIn, if it is
// in the way on both sides.
func (p *proofs) prove(t *testing.T, ifindex int) (kinds []gate.EventKind) {
	t.Helper()
	on, err := netlink.LinkByIndex(ifindex)
	must(t, err)
	for i, v6 := range []bool{false, true} {
		to := &unix.SockaddrLinklayer{Protocol: 0x0008, Ifindex: ifindex}
		if v6 {
			to.Protocol = 0xdd86
		}
		to.Halen = uint8(copy(to.Addr[:], on.Attrs().HardwareAddr))
		must(t, unix.Sendto(p.fd, gate.AppendProof(nil, p.flow, v6, uint32(i)), 0, to))
	}
	// Both packets were judged at egress before Sendto returned; ingress is a moment later.
	deadline := time.Now().Add(200 * time.Millisecond)
	for len(kinds) < 4 && time.Now().Before(deadline) {
		var events [4]gate.Event
		n, err := p.gate.Events().TryReadBatch(events[:])
		must(t, err)
		for _, e := range events[:n] {
			if e.IfIndex != ifindex {
				t.Errorf("%v of interface %d, not %d", e.Kind, e.IfIndex, ifindex)
			}
			if n, v6, ok := gate.Proof(e.Packet); !ok || v6 != (n == 1) {
				t.Errorf("%v of packet %d, IPv6 %v, is no proof", e.Kind, n, v6)
			}
			kinds = append(kinds, e.Kind)
		}
		if n == 0 {
			time.Sleep(time.Millisecond) // to be told would end a reader that waits for more
		}
	}
	slices.Sort(kinds)
	return kinds
}

func (p *proofs) want(t *testing.T, ifindex int, want ...gate.EventKind) {
	t.Helper()
	twice := append(slices.Clone(want), want...)
	slices.Sort(twice)
	if got := p.prove(t, ifindex); !slices.Equal(got, twice) {
		t.Errorf("proofs: %v, want %v", got, twice)
	}
}

// TestProof: the gate is reached in both directions on each kind of device, and who is not
// reached does not say so.
func TestProof(t *testing.T) {
	l := newLab(t)
	_, tun := newTun(t)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	p := newProofs(t, g)
	for _, ifindex := range []int{l.a, l.lo, tun} {
		p.want(t, ifindex)
		must(t, g.Attach(ifindex))
		p.want(t, ifindex, gate.EventProofOut, gate.EventProofIn)
	}
	flows, err := g.Flows()
	must(t, err)
	if len(flows) > 0 {
		t.Errorf("a proof is taken for a connection: %v", flows)
	}
	strangerFilter(t, l.a, 1)
	p.want(t, l.a)
	must(t, g.Unbind(p.flow))
	p.want(t, l.lo)
}
