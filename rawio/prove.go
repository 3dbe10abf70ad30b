package rawio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Timing of the packets that prove that the gate is in the way.
const (
	proofEvery = time.Second
	// proofWait is how long a packet may take to the gate: usually some ten
	// microseconds, longer on a busy host.
	proofWait = 200 * time.Millisecond
	// proofTries is how many packets must fail to arrive, each after an attempt to reattach the gate,
	// until the gate counts as not in the way: a flood may drop some packets, but not all.
	proofTries = 3
)

// prover sends the packets that prove that the gate is in the way: see gate.BindProof.
// links.mu guards it.
type prover struct {
	gate  linkGate
	via   proofSocket // nil: not open
	buf   []byte
	ports []uint16     // of the services
	flow  segment.Flow // bound; the zero Flow if there are no ports
	until time.Time    // when to change to another port
	lost  uint64       // events of the gate that were lost so far
}

// portsTurn is for how long the packets have the same port. The port changes because a filter that
// somebody puts before the gate may depend on it.
const portsTurn = 10 * time.Second

// proof is what is known of an interface.
type proof struct {
	number  uint32 // of the newest packet; 0: none was sent
	out, in bool   // it was seen at egress, at ingress
	due     time.Time
	lost    uint64 // prover.lost when it was sent
	tries   int    // packets in a row that did not arrive
	done    bool   // number was seen on both sides
	once    bool   // some packet was, since the gate was attached
}

// sightings passes data from the engine, whose lock is held, to links. No system call is made with
// mu held. links.mu cannot be used for this: its holder may have to wait for the
// kernel's rtnl lock, which the whole host shares, and every packet would wait for the engine.
type sightings struct {
	mu    sync.Mutex
	ports []uint16         // of the services
	seen  map[int]sighting // by interface
}

// sighting says where the packet was seen that was sent last on an interface.
type sighting struct {
	number  uint32
	out, in bool
	wanted  bool // watch is to be woken when it was seen on both sides: the interface is not guarded yet
}

func (p *prover) open(g linkGate) error {
	p.gate = g
	// Protocol 0: it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("rawio: open a packet socket: %w", err)
	}
	p.via = packetSocket(fd)
	return nil
}

// packetSocket is a proofSocket by its descriptor.
type packetSocket int

func (s packetSocket) Send(packet []byte, to *unix.SockaddrLinklayer) error {
	return unix.Sendto(int(s), packet, 0, to)
}

func (s packetSocket) Close() error { return unix.Close(int(s)) }

func (p *prover) close() {
	if p.via != nil {
		_ = p.via.Close()
		p.via = nil
	}
}

// turn chooses the port of the packets, and binds their flow.
func (p *prover) turn(now time.Time) error {
	port := p.flow.Server.Port()
	at, there := slices.BinarySearch(p.ports, port)
	if there && (now.Before(p.until) || len(p.ports) == 1) {
		return nil
	}
	if there {
		at++
	}
	if port != 0 {
		_ = p.gate.Unbind(p.flow) // fails only with the gate itself
		p.flow = segment.Flow{}
	}
	if len(p.ports) == 0 {
		return nil
	}
	flow := gate.ProofFlow(p.ports[at%len(p.ports)])
	if err := p.gate.BindProof(flow); err != nil {
		return err
	}
	p.flow, p.until = flow, now.Add(portsTurn)
	return nil
}

// send sends a packet on an interface, alternating between IPv4 and IPv6.
func (l *links) send(g *guarded) error {
	p := &l.prover
	number := rand.Uint32() | 2
	if g.proof.number&1 == 0 {
		number |= 1
	} else {
		number &^= 1
	}
	g.proof.number, g.proof.out, g.proof.in, g.proof.done = number, false, false, false
	l.sightings.expect(g.index, sighting{number: number, wanted: g.why != ""})
	v6 := number&1 != 0
	p.buf = gate.AppendProof(p.buf[:0], p.flow, v6, number)
	to := unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: g.index}
	if v6 {
		to.Protocol = htons(unix.ETH_P_IPV6)
	}
	// Addressed to the interface itself: should the packet leave, no switch forwards it.
	to.Halen = uint8(copy(to.Addr[:], g.addr))
	return p.via.Send(p.buf, &to)
}

func htons(n uint16) uint16 { return n<<8 | n>>8&0xff }

// proved takes the gate's event of such a packet. The engine's lock is held.
func (l *links) proved(ev *gate.Event) {
	number, _, ok := gate.Proof(ev.Packet)
	if ok && l.sightings.note(ev.IfIndex, number, ev.Kind) {
		l.wake()
	}
}

// setPorts sets the protected ports. The engine's lock is held.
func (l *links) setPorts(ports []uint16) {
	slices.Sort(ports)
	l.sightings.mu.Lock()
	defer l.sightings.mu.Unlock()
	first := len(l.sightings.ports) == 0
	l.sightings.ports = ports
	if first {
		l.wake()
	}
}

// expect begins to note where a packet is seen, instead of the previous one.
func (p *sightings) expect(index int, s sighting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[int]sighting{}
	}
	p.seen[index] = s
}

// note notes that a packet was seen, and reports whether watch is to be woken.
func (p *sightings) note(index int, number uint32, kind gate.EventKind) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seen[index]
	if !ok || s.number != number || s.out && s.in {
		return false
	}
	s.out = s.out || kind == gate.EventProofOut
	s.in = s.in || kind == gate.EventProofIn
	p.seen[index] = s
	return s.out && s.in && s.wanted
}

// of returns where the packet was seen that was sent last on an interface.
func (p *sightings) of(index int) sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[index]
}

// forget drops what was seen at an interface.
func (p *sightings) forget(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, index)
}

// services returns the ports of the services.
func (p *sightings) services() []uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports
}

// note takes the sighting of the packet that was sent last.
func (p *proof) note(s sighting) {
	if p.done || s.number != p.number {
		return
	}
	p.out, p.in = s.out, s.in
	if p.out && p.in {
		p.done, p.once, p.tries = true, true, 0
	}
}

// prove does what is due at an interface: it checks whether the last packet came back,
// mends the gate if necessary, and sends another packet. It returns when to call it again.
// mu is held.
func (l *links) prove(g *guarded, now time.Time) time.Time {
	p := &g.proof
	if g.refused != nil {
		return now.Add(proofEvery)
	}
	p.note(l.sightings.of(g.index))
	if p.done && g.why != "" {
		l.regained(g)
	}
	late := p.late(now, l.prover.lost)
	switch {
	case late:
	case !g.look && p.number != 0 && now.Before(p.due):
		return p.due
	}
	if g.look || late || l.gate.Overtaken(g.index) {
		l.mend(g, now)
	}
	if late && p.tries >= proofTries && g.noKnownFault() {
		l.unguarded(g, p.missed())
	}
	if l.prover.flow.Server.Port() == 0 {
		// Without a proof, the result of Attach counts.
		if len(l.prover.ports) == 0 && g.why != "" && g.mended.err == nil {
			l.regained(g)
		}
		*p = proof{due: now.Add(proofEvery)}
		return p.due
	}
	err := l.send(g)
	p.due, p.lost = time.Now().Add(proofWait), l.prover.lost
	switch {
	case err == nil:
		if g.why == "" && p.tries == 0 && p.once {
			p.due = now.Add(proofEvery) // if it has not arrived by then, the next one is due sooner
		}
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		*p = proof{due: now.Add(proofEvery)} // the interface is down
	default:
		l.log.Debug("proof not sent", "interface", g.name, "error", err)
	}
	return p.due
}

// late reports whether the packet that was sent last should have arrived by now, and counts
// it in tries, unless an event of the gate was lost since, which may have been the one about it.
func (p *proof) late(now time.Time, lost uint64) bool {
	if p.number == 0 || p.done || now.Before(p.due) {
		return false
	}
	if lost == p.lost {
		p.tries++
	}
	return true
}

// missed describes where the packet did not arrive.
func (p *proof) missed() string {
	switch {
	case !p.out && !p.in:
		return "sent packets do not reach it"
	case !p.out:
		return "sent packets do not reach it at egress"
	}
	return "received packets do not reach it"
}

// noKnownFault reports whether no fault of the gate on an interface is known.
func (g *guarded) noKnownFault() bool { return g.why == "" || g.why == whyNew }

// unguarded notes that packets may bypass the gate.
func (l *links) unguarded(g *guarded, why string) {
	if g.noKnownFault() {
		l.log.Warn("interface is not protected", "interface", g.name, "reason", why)
	}
	g.why = why
}

func (l *links) regained(g *guarded) {
	if g.why == whyNew {
		l.log.Debug("interface is protected", "interface", g.name)
	} else {
		l.log.Info("interface is protected again", "interface", g.name)
	}
	g.passed, g.until, g.why = g.why, time.Now(), ""
}

// mends bounds how often the gate is reattached: whoever keeps removing it
// may have a reason.
type mends struct {
	since time.Time
	n     int
	err   error // the last attempt has failed
}

const (
	mendsAtOnce = 5
	mendsPause  = 10 * time.Second
)

// mend attaches the gate again if something has happened to it. mu is held.
func (l *links) mend(g *guarded, now time.Time) {
	m := &g.mended
	if now.Sub(m.since) > mendsPause {
		m.since, m.n = now, 0
	}
	if m.n >= mendsAtOnce {
		return // g.look stays set
	}
	g.look = false
	was, err := l.gate.Mend(g.index)
	if errors.Is(err, net.ErrClosed) {
		return
	}
	if err != nil && m.err == nil {
		l.log.Warn("gate cannot be reattached", "interface", g.name, "error", err)
	}
	m.err = err
	if was == nil && err == nil {
		return
	}
	m.n++
	if was == nil {
		was = err
	}
	l.unguarded(g, was.Error())
	g.proof = proof{}
}
