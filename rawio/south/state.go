package south

import (
	"fmt"

	"github.com/ftnet/ftnet/rawio/gate"
)

// A connection's state changes here and nowhere else: each state has one function by which it is
// entered, which does what always belongs to that, in the gate first of all. Where a connection
// begins, newConn gives it its state.

// State of a connection; the package comment draws the transitions.
type State uint8

// The states.
const (
	SynReceived  State = iota // waits for the log to have the metadata; the SYN-ACK is held
	Established               // the kernel has it, the gate judges every packet
	Outage                    // its server is gone, the gate holds all, the core answers the client
	Reconnecting              // a spoofed handshake is under way
	Rolling                   // unmodified servers: the core plays the client, the gate captures
	Resetting                 // given up: its client gets a RST for whatever it says
	Open                      // not protected any more: the gate lets all pass
	Lingering                 // over: what its client repeats is answered
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

// before has the states from which each one can be entered.
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
// transition is possible; if not, see impossible, and nothing is left to be done by the caller.
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

// impossible deals with a transition that must not be: a bug of the core. Tests stop at it. An
// engine resets the connection: what its numbers mean is not known any more, and a client that is
// reset knows that something went wrong, as one whose stream has been damaged does not. All other
// connections go on, which would end with a panic. Of one that is over nothing is left to
// be damaged, and its slot may be another's by now: it is left alone.
func (m *Machine) impossible(c *Conn, to State) {
	why := fmt.Sprintf("impossible change of its state from %v to %v", c.state, to)
	if m.cfg.Strict {
		panic(fmt.Sprintf("%v: %s", c.Flow, why))
	}
	m.Stats.Impossible++
	m.report(ConnImpossible, c, why)
	if c.state == SynReceived { // its client says its SYN again
		m.forget(c)
		return
	}
	m.Abort(c, why)
}

// becomeEstablished has the kernel serve the client. The gate has been told already: when the
// server may speak next its packets must be judged.
func (m *Machine) becomeEstablished(c *Conn) bool {
	if !m.enter(c, Established) {
		return false
	}
	if c.extra != nil {
		c.extra.restore = nil
	}
	return true
}

// becomeOutage takes a connection from the kernel, whose socket goes: from now on the gate holds
// all, and the core answers the client.
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

// becomeReconnecting begins a spoofed handshake: the gate tells of SYN-ACKs.
func (m *Machine) becomeReconnecting(c *Conn) bool {
	if !m.enter(c, Reconnecting) {
		return false
	}
	slot := m.slotOf(c)
	slot.SetReleased(gate.ReleasedNo) // what becomes of the new socket counts
	slot.SetMode(gate.ModeSpoof)
	c.extra.tries, c.extra.answer = 0, nil
	m.touch(c)
	return true
}

// becomeRolling begins a roll-forward on the wire: the gate captures what the server says.
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

// becomeResetting gives a connection up: nothing of it is kept but what its client's RST needs.
func (m *Machine) becomeResetting(c *Conn, why string) bool {
	was := c.state
	if !m.enter(c, Resetting) {
		return false
	}
	m.slotOf(c).SetMode(gate.ModeOutage)
	if was == Established {
		m.lowerUna(c)
		m.fixSndNxt(c)
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

// becomeOpen ends the protection of a connection that goes on. The gate lets everything pass
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
		m.kernel.Destroy(c.Flow) // nobody will answer its FIN
	case m.outputRemains(c, slot):
		m.captureRest(c, slot)
	}
	c.ensureExtra().expireAt = m.now + m.lingers(c)
	m.watch(c)
	return true
}

// becomeClosed frees all that the core, the gate, the journal and the log keep of a connection.
// What is over has left journal and log already.
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
