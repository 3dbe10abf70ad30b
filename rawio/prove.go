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
	"github.com/ftnet/ftnet/rawio/gate"
)

// How often and how patiently the gate is asked to prove that it is in the way.
const (
	proofEvery = time.Second
	// proofWait is how long a packet may be under way to the gate: it takes some ten
	// microseconds, and longer on a busy host.
	proofWait = 200 * time.Millisecond
	// proofTries in vain, each after an attempt to mend, and the gate is not in the way: a
	// flood may cost some packets, but not all.
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
	until time.Time    // when another port has its turn
	lost  uint64       // of the gate's reports, so far
}

// portsTurn is how long the packets are of one of the ports: a filter that somebody puts
// before the gate may look at it.
const portsTurn = 10 * time.Second

// proof is what is known of an interface.
type proof struct {
	number  uint32 // of the newest packet; 0: none was sent
	out, in bool   // that it was seen there
	due     time.Time
	lost    uint64 // prover.lost when it was sent
	tries   int    // in vain
	done    bool   // number was seen on both sides
	once    bool   // some number was, since the gate was attached
}

// posts is what the engine has for links, and hands over with its lock held. Nobody makes a
// system call with mu held: links.mu does not do, for who holds that may have to wait for the
// kernel's rtnl lock, which the whole host shares, and every packet would wait for the engine.
type posts struct {
	mu    sync.Mutex
	ports []uint16         // of the services
	seen  map[int]sighting // by interface
}

// sighting is where the packet was seen that was sent last by an interface.
type sighting struct {
	number  uint32
	out, in bool
	wanted  bool // at once: the interface is not guarded until then
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

// turn sees to it that the packets are of one of the ports.
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

// send sends a packet by an interface, as IPv4 or IPv6 in turns.
func (l *links) send(g *guarded) error {
	p := &l.prover
	number := rand.Uint32() | 2
	if g.proof.number&1 == 0 {
		number |= 1
	} else {
		number &^= 1
	}
	g.proof.number, g.proof.out, g.proof.in, g.proof.done = number, false, false, false
	l.posts.await(g.index, sighting{number: number, wanted: g.why != ""})
	v6 := number&1 != 0
	p.buf = gate.AppendProof(p.buf[:0], p.flow, v6, number)
	to := unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: g.index}
	if v6 {
		to.Protocol = htons(unix.ETH_P_IPV6)
	}
	// To the interface itself: should the packet leave, no switch forwards it.
	to.Halen = uint8(copy(to.Addr[:], g.addr))
	return p.via.Send(p.buf, &to)
}

func htons(n uint16) uint16 { return n<<8 | n>>8&0xff }

// proved takes what the gate tells of such a packet. The engine's lock is held.
func (l *links) proved(ev *gate.Event) {
	number, _, ok := gate.Proof(ev.Packet)
	if ok && l.posts.met(ev.IfIndex, number, ev.Kind) {
		l.hurry()
	}
}

// setPorts says which ports there are to prove something of. The engine's lock is held.
func (l *links) setPorts(ports []uint16) {
	slices.Sort(ports)
	l.posts.mu.Lock()
	defer l.posts.mu.Unlock()
	first := len(l.posts.ports) == 0
	l.posts.ports = ports
	if first {
		l.hurry()
	}
}

// await has what is seen of a packet noted, and nothing any more of the one before.
func (p *posts) await(index int, s sighting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[int]sighting{}
	}
	p.seen[index] = s
}

// met takes note that a packet was seen, and reports whether that completes what is wanted.
func (p *posts) met(index int, number uint32, kind gate.EventKind) bool {
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

// of returns what was seen of the packet that was sent last by an interface.
func (p *posts) of(index int) sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[index]
}

// forget drops what was seen at an interface.
func (p *posts) forget(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, index)
}

// services returns the ports of the services.
func (p *posts) services() []uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports
}

// note takes note of where the packet was seen that was sent last.
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
	p.note(l.posts.of(g.index))
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
	if late && p.tries >= proofTries && g.blameless() {
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
			p.due = now.Add(proofEvery) // and if it does not come back till then, soon again
		}
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		*p = proof{due: now.Add(proofEvery)} // nothing passes here
	default:
		l.log.Debug("proof not sent", "interface", g.name, "error", err)
	}
	return p.due
}

// late reports whether the packet that was sent last should have come by now, and counts
// it as sent in vain; not if a report of the gate was lost since, for that may have been
// the one about it.
func (p *proof) late(now time.Time, lost uint64) bool {
	if p.number == 0 || p.done || now.Before(p.due) {
		return false
	}
	if lost == p.lost {
		p.tries++
	}
	return true
}

// missed says how far the packet came.
func (p *proof) missed() string {
	switch {
	case !p.out && !p.in:
		return "sent packets do not reach it"
	case !p.out:
		return "sent packets do not reach it at egress"
	}
	return "received packets do not reach it"
}

// blameless reports whether nothing is known to be wrong with the gate on an interface.
func (g *guarded) blameless() bool { return g.why == "" || g.why == whyNew }

// unguarded notes that packets may bypass the gate.
func (l *links) unguarded(g *guarded, why string) {
	if g.blameless() {
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

// mends bounds how often the gate is attached again: who takes it away again and again
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
		return // and g.look stays
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
