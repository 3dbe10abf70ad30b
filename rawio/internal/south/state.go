package south

import (
	"fmt"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// A connection's state changes here and nowhere else: each state is entered by one function, which
// also does everything that belongs to the transition, in the gate above all. The first state of
// a connection is set by newConn.

// State of a connection; the package comment draws the transitions.
type State uint8

// The states.
const (
	SynReceived  State = iota // waits for the log to have the metadata; the SYN-ACK is held
	Established               // the kernel serves it, the gate judges every packet
	Outage                    // its server is gone, the gate holds everything, the core answers the client
	Reconnecting              // a spoofed handshake is under way
	Rolling                   // unmodified servers: the core plays the client, the gate captures
	Resetting                 // given up: its client gets a RST for each segment
	Open                      // not protected any more: the gate passes everything
	Lingering                 // over: retransmissions of its client are answered
	Closed                    // forgotten
)

var stateNames = [...]string{"syn-received", "established", "outage", "reconnecting", "rolling", "resetting", "open", "lingering", "closed"}

func (s State) String() string { return stateNames[s] }

// stateSet is a set of states.
type stateSet uint16

func states(list ...State) (s stateSet) {
	for _, st := range list {
		s |= 1 << st
	}
	return s
}

func (s stateSet) has(st State) bool { return s&(1<<st) != 0 }

// before has, for each state, the states from which it can be entered.
var before = [...]stateSet{
	SynReceived:  states(),
	Established:  states(SynReceived, Reconnecting, Rolling),
	Outage:       states(Established, Reconnecting, Rolling),
	Reconnecting: states(Outage),
	Rolling:      states(Reconnecting),
	Resetting:    states(Established, Outage, Reconnecting, Rolling, Open),
	Open:         states(Established),
	Lingering:    states(Established),
	Closed:       states(SynReceived, Established, Outage, Reconnecting, Rolling, Resetting, Open, Lingering),
}

// enter changes the state and ends what belonged to the old one. It reports whether the
// transition is possible. If not, impossible has dealt with the connection, and the caller must return.
func (m *Machine) enter(c *Conn, to State) bool {
	if !before[to].has(c.state) {
		m.impossible(c, to)
		return false
	}
	if c.state == Rolling {
		m.endRoll(c)
	}
	c.unset(opening)
	c.state = to
	return true
}

// impossible deals with a transition that must not happen: a bug of the core. Tests panic. An
// engine resets the connection: its numbers cannot be trusted any more, and a reset tells the client
// that something went wrong, while a damaged stream would not. All other
// connections continue; a panic would end them. A connection that is over has no stream to
// be damaged, and its slot may belong to another one by now: it is left alone.
func (m *Machine) impossible(c *Conn, to State) {
	why := fmt.Sprintf("impossible change of its state from %v to %v", c.state, to)
	if m.cfg.Strict {
		panic(fmt.Sprintf("%v: %s", c.Flow, why))
	}
	m.Stats.Impossible++
	m.report(ConnImpossible, c, why)
	if c.state == SynReceived { // its client will retransmit its SYN
		m.forget(c)
		return
	}
	m.Abort(c, why)
}

// becomeEstablished makes the kernel serve the client. The slot must be live already, so that the
// server's next packet is judged.
func (m *Machine) becomeEstablished(c *Conn) bool {
	if !m.enter(c, Established) {
		return false
	}
	if c.extra != nil {
		c.extra.restore = nil
	}
	return true
}

// becomeOutage takes a connection from the kernel and removes its socket: from now on the gate holds
// everything, and the core answers the client.
func (m *Machine) becomeOutage(c *Conn) bool {
	was := c.state
	if !m.enter(c, Outage) {
		return false
	}
	m.slotOf(c).SetMode(gate.ModeOutage)
	x := c.ensureExtra()
	if was == Established {
		m.takeFromKernel(c)
	}
	x.refused, x.held, x.answer = nil, nil, nil
	x.cutover, x.liveAt, x.tries, x.recoverAt = 0, 0, 0, 0
	c.unset(ackPending | dupACKDue)
	m.watch(c)
	m.touch(c)
	m.kernel.Destroy(c.Flow)
	m.awaitThirdACK(c)
	return true
}

// becomeReconnecting begins a spoofed handshake: the gate reports SYN-ACKs.
func (m *Machine) becomeReconnecting(c *Conn) bool {
	if !m.enter(c, Reconnecting) {
		return false
	}
	slot := m.slotOf(c)
	slot.SetReleased(gate.ReleasedNo) // from now on it is about the new socket
	slot.SetMode(gate.ModeSpoof)
	c.extra.tries, c.extra.answer = 0, nil
	m.touch(c)
	return true
}

// becomeRolling begins a roll-forward on the wire: the gate captures the server's packets.
func (m *Machine) becomeRolling(c *Conn, r *roll) bool {
	if !m.enter(c, Rolling) {
		return false
	}
	m.slotOf(c).SetMode(gate.ModeRoll)
	c.extra.roll = r
	m.rolling++
	m.touch(c)
	return true
}

// becomeResetting gives a connection up: only what RSTs to its client need is kept.
func (m *Machine) becomeResetting(c *Conn, why string) bool {
	was := c.state
	if !m.enter(c, Resetting) {
		return false
	}
	m.slotOf(c).SetMode(gate.ModeOutage)
	if was == Established {
		m.lowerUna(c)
		m.noteSndNxt(c)
	}
	m.kernel.Destroy(c.Flow)
	_ = m.log.Delete(c.ID)
	c.ahead = nil
	x := c.ensureExtra()
	x.expireAt, x.reason = m.now+resetLife, why
	x.deferred, x.held = nil, nil
	c.unset(limited)
	m.watch(c)
	return true
}

// becomeOpen ends the protection of a connection that continues. The gate must pass everything
// already.
func (m *Machine) becomeOpen(c *Conn, why string) bool {
	if !m.enter(c, Open) {
		return false
	}
	delete(m.otherPaths, c)
	c.flags &= recovered | finSent | outsideWindow
	c.ensureExtra().reason = why
	return true
}

// becomeLingering keeps a connection that is over for its client, for as long as lingers says.
func (m *Machine) becomeLingering(c *Conn) bool {
	if !m.enter(c, Lingering) {
		return false
	}
	switch slot := m.slotOf(c); {
	case slot.Mode() == gate.ModeOutage:
		m.kernel.Destroy(c.Flow) // its FIN would never be acknowledged
	case m.outputRemains(c, slot):
		m.captureRest(c, slot)
	}
	c.ensureExtra().expireAt = m.now + m.lingerTime(c)
	m.watch(c)
	return true
}

// becomeClosed frees everything that the core, the gate, the journal and the log keep of a connection.
// A lingering connection has left journal and log already.
func (m *Machine) becomeClosed(c *Conn) bool {
	was := c.state
	if !m.enter(c, Closed) {
		return false
	}
	m.conns.remove(c.Flow)
	m.unwatch(c)
	c.ahead = nil
	m.slotOf(c).SetMode(gate.ModeFree)
	if was != SynReceived {
		m.gate.Unbind(c.Flow)
	}
	if was != SynReceived && was != Lingering {
		m.withdraw(c)
	}
	if was != Lingering && was != Resetting && c.ID != 0 {
		_ = m.log.Delete(c.ID)
	}
	delete(m.otherPaths, c)
	m.slots[c.slot].conn = nil
	m.free.give(c.slot)
	return true
}
