package rawiotest

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// Packet is a segment on its way, with what the kernel keeps beside it.
type Packet struct {
	segment.Segment
	Priority uint32 // SO_PRIORITY of the sending socket
	NoSocket bool   // of a SYN cookie: no socket has sent it
}

// Clone returns a copy that shares nothing with p.
func (p *Packet) Clone() *Packet {
	c := *p
	c.Payload = bytes.Clone(p.Payload)
	return &c
}

// Impairment says what happens to packets; probabilities lie within 0..1.
type Impairment struct {
	Loss, Duplicate, Reorder float64
	// Mark is the probability of a congestion mark on a packet that allows it.
	Mark float64
	// Delay is the time that a packet takes.
	Delay time.Duration
	// ReorderDelay is the largest extra time of a reordered packet, and the
	// largest delay of a second copy. Default: the Delay, or 1 ms if that is 0.
	ReorderDelay time.Duration
}

// NetworkStats counts packets.
type NetworkStats struct{ Sent, Lost, Duplicated, Reordered int }

// Network carries packets to whoever the sender names.
type Network struct {
	// Impairment may be changed between packets.
	Impairment Impairment
	// Trace, if not nil, is told what happens to each packet: "send", "lose",
	// "copy" or "arrive".
	Trace func(what string, p *Packet)

	clock *Clock
	rand  *rand.Rand
	stats NetworkStats
}

// NewNetwork returns a network whose draws follow from the seed.
func NewNetwork(clock *Clock, seed uint64, i Impairment) *Network {
	return &Network{Impairment: i, clock: clock, rand: rand.New(rand.NewPCG(seed, 0x6e6574))}
}

// Stats returns the counters.
func (n *Network) Stats() NetworkStats { return n.stats }

// Send delivers a copy of p by calling to, later (never inside Send), twice or
// not at all. Packets of equal delay keep their order.
func (n *Network) Send(p *Packet, to func(*Packet)) {
	i := n.Impairment
	n.stats.Sent++
	n.trace("send", p)
	extra := i.ReorderDelay
	if extra == 0 {
		extra = max(i.Delay, time.Millisecond)
	}
	if n.rand.Float64() < i.Loss {
		n.stats.Lost++
		n.trace("lose", p)
		return
	}
	delay := i.Delay
	if n.rand.Float64() < i.Reorder {
		n.stats.Reordered++
		delay += time.Duration(n.rand.Int64N(int64(extra)) + 1)
	}
	if n.rand.Float64() < i.Mark && p.TOS&ce != 0 {
		p = p.Clone()
		p.TOS |= ce
	}
	n.deliver(p, delay, to)
	if n.rand.Float64() < i.Duplicate {
		n.stats.Duplicated++
		n.trace("copy", p)
		n.deliver(p, i.Delay+time.Duration(n.rand.Int64N(int64(extra))), to)
	}
}

func (n *Network) deliver(p *Packet, delay time.Duration, to func(*Packet)) {
	c := p.Clone()
	n.clock.After(delay, func() {
		n.trace("arrive", c)
		to(c)
	})
}

func (n *Network) trace(what string, p *Packet) {
	if n.Trace != nil {
		n.Trace(what, p)
	}
}
