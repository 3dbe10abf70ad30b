package south

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/internal/segment"
)

// Protect begins to protect a port whose server is being started or listens, or
// changes how it is protected. A change of the log's room applies to
// all connections from then on, other changes to new connections only.
func (m *Machine) Protect(port uint16, s Service) {
	m.readClock()
	if svc := m.services[port]; svc != nil && svc.fenced {
		return
	}
	svc := m.service(port, s)
	m.gate.SetService(port, svc.outage, s.Unmodified)
}

// service returns the entry of a port whose server lives or is being started, a new one if there is none.
func (m *Machine) service(port uint16, s Service) *service {
	svc := m.services[port]
	if svc == nil {
		svc = &service{port: port}
		m.services[port] = svc
	}
	svc.Service, svc.alive, svc.ending = s, true, false
	return svc
}

// Unprotect forgets a port. It ends the protection of its connections like Release, and forgets
// them at once.
func (m *Machine) Unprotect(port uint16) {
	svc := m.services[port]
	if svc == nil {
		return
	}
	m.Release(port)
	m.each(svc, func(c *Conn) { m.end(c, "its port is no longer protected") })
	m.syns.each(port, func(f segment.Flow, _ *synEntry) { m.syns.drop(f) })
	delete(m.services, port)
}

// Listening declares that the port's server listens again (figure 19). It
// returns how many connections will be opened again. They reach the server's
// Accept in the order in which it had first accepted them, before the
// clients that have dialled meanwhile.
func (m *Machine) Listening(port uint16) int {
	m.readClock()
	svc := m.services[port]
	switch {
	case svc == nil || svc.fenced || svc.busy:
		return 0
	case !svc.outage:
		m.syns.each(port, m.resendRefused)
		return 0
	}
	svc.alive, svc.busy, svc.room = true, true, 0
	svc.queue = m.inOrder(svc)
	n := len(svc.queue)
	m.pump(svc)
	m.Flush()
	return n
}

// inOrder returns the service's connections in Outage: first those that the
// server had accepted, in that order, then the others by their handshake.
func (m *Machine) inOrder(svc *service) []*Conn {
	type item struct {
		c        *Conn
		accepted bool
		seq      uint64
	}
	var items []item
	m.each(svc, func(c *Conn) {
		if c.state != Outage || m.notReady(c) {
			return
		}
		c.extra.requeued = false
		it := item{c: c, seq: uint64(c.ID)}
		if h := m.head(c); h.Accepted {
			it.accepted, it.seq = true, h.AcceptSeq
		}
		items = append(items, it)
	})
	slices.SortFunc(items, func(a, b item) int {
		if a.accepted != b.accepted {
			if a.accepted {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.seq, b.seq)
	})
	out := make([]*Conn, len(items))
	for i := range items {
		out[i] = items[i].c
	}
	return out
}

// resendRefused gives the server a SYN that came before it listened: its client was not
// answered, and its next retransmission may be far off.
func (m *Machine) resendRefused(f segment.Flow, e *synEntry) {
	if e.refused != 0 && e.syn != nil && m.conns.get(f) == nil {
		e.refused = 0
		m.net.ToServer(e.syn)
	}
}

// pump begins spoofed handshakes up to the window's size, and ends the recovery when none is
// left.
func (m *Machine) pump(svc *service) {
	for svc.busy && len(svc.queue) > 0 && m.mayOpen(svc) {
		c := svc.queue[0]
		svc.queue = svc.queue[1:]
		if c.state == Outage {
			svc.inflight++
			m.reconnect(c)
		}
	}
	if !svc.busy || svc.inflight > 0 || len(svc.queue) > 0 {
		return
	}
	svc.busy, svc.outage, svc.queue = false, false, nil
	m.gate.SetService(svc.port, false, svc.Unmodified)
	m.syns.each(svc.port, func(f segment.Flow, e *synEntry) {
		// The SYN was held, or refused between the crash and Crash.
		if e.syn == nil || e.arrived < svc.since-synSlack || m.conns.get(f) != nil {
			return
		}
		e.synack, e.packet = nil, nil // of the dead process
		e.queued = true
	})
	svc.admitUntil = m.now + admitLife
	m.admit(svc)
	m.cfg.Report(Report{Kind: ServiceRecovered, Port: svc.port})
}

// admit gives the listener the SYNs that have waited for it, as many as its queue has room for: it
// would drop more, and their clients would not retransmit for seconds.
func (m *Machine) admit(svc *service) {
	room, left := m.kernel.Room(svc.port), false
	m.syns.each(svc.port, func(f segment.Flow, e *synEntry) {
		switch {
		case !e.queued:
		case e.syn == nil || e.synack != nil || m.conns.get(f) != nil:
			e.queued = false
		case room > 0 && m.now >= e.again:
			room--
			e.again = m.now + admitAgain
			m.net.ToServer(e.syn)
			fallthrough
		default:
			left = true
		}
	})
	if !left {
		svc.admitUntil = 0
	}
}

const (
	// admitLife is how long SYNs wait for room, ns; after that the clients' own retransmissions
	// have to suffice.
	admitLife = 10e9
	// admitAgain is after what time a SYN that was not answered is given to the listener again, ns.
	admitAgain = 200e6
)

// synSlack is how long before an outage a SYN may have come that the dead
// process did not answer, ns.
const synSlack = 3e9

// handshakeDone takes a connection out of the window of spoofed handshakes, and begins others.
func (m *Machine) handshakeDone(c *Conn) {
	if c.is(outsideWindow) {
		c.unset(outsideWindow)
		return
	}
	c.svc.inflight--
	m.pump(c.svc)
}

// leaveWindow takes a connection out of the window that waits for its client, so that others do not
// wait for that client, too.
func (m *Machine) leaveWindow(c *Conn) {
	if !c.is(outsideWindow) {
		m.handshakeDone(c)
		c.set(outsideWindow)
	}
}
