package rawio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/inject"
	"github.com/ftnet/ftnet/rawio/segment"
	"github.com/ftnet/ftnet/rawio/sockdiag"
)

// A trial's handshake goes the ways of a recovery's: its flow is bound to a slot in
// ModeSpoof, so that the gate holds whatever the kernel says of it; its SYN arrives by the
// interface, and if that is in vain by loopback. It goes no further than the SYN: when the
// kernel has answered, the half-open connection is destroyed. No third ACK is sent, so
// there is nothing to accept, with TCP_DEFER_ACCEPT or without; and no RST, which a rule set
// could drop. Behind a SYN cookie there is nothing at all.
//
// The answer leaves the gate's host by no way: the trial is begun only if the gate is
// where it would leave by the routes.

const (
	// trialWait is how long an answer is waited for. The kernel gives it while the SYN is
	// being sent; the gate's news of it take longer on a busy host, and then the kernel
	// is asked.
	trialWait = 250 * time.Millisecond
	// trialRounds is how often all ways are tried before it is said that none is open.
	trialRounds = 2
)

type verdictKind uint8

const (
	undecided verdictKind = iota // the listener may have been why
	answered
	barred
)

// verdict is what a trial has found.
type verdict struct {
	kind verdictKind
	why  string
}

// trialSlot is the slot of the flow under trial. It stays in ModeSpoof.
func (e *Engine) trialSlot() uint32 { return uint32(e.cfg.MaxConns) + 1 }

// tried takes an answer from the gate.
func (t *trials) tried(s *segment.Segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flow == (Flow{Client: s.Dst, Server: s.Src}) {
		select {
		case t.answer <- struct{}{}:
		default:
		}
	}
}

// begin says which flow is under trial.
func (t *trials) begin(f Flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flow = f
	select {
	case <-t.answer: // of another one
	default:
	}
}

// tryHandshake begins a handshake in the name of a client, and takes it back.
func (e *Engine) tryHandshake(at entrance, client, server netip.Addr) (found verdict) {
	flow := Flow{
		Client: netip.AddrPortFrom(client, uint16(1024+rand.IntN(65536-1024))),
		Server: netip.AddrPortFrom(server, at.port),
	}
	w, err := sockdiag.Watch()
	if err != nil {
		return verdict{}
	}
	defer w.Close()
	if _, err := w.State(flow, at.ifindex); !errors.Is(err, sockdiag.ErrNotFound) || e.knows(flow) {
		return verdict{} // it is somebody's, or nobody can tell
	}
	slot := e.gate.Slot(e.trialSlot())
	slot.ResetGate()
	slot.SetMode(gate.ModeSpoof)
	e.trials.begin(flow)
	if err := e.gate.Bind(flow, e.trialSlot()); err != nil {
		e.log.Debug("flow not bound", "error", err)
		return verdict{}
	}
	defer e.takeBack(flow, at.ifindex)
	syn := &segment.Segment{Src: flow.Client, Dst: flow.Server, Seq: rand.Uint32(), Flags: segment.SYN, Window: 64240}
	o := &syn.Options
	o.MSS, o.SACKPermitted, o.HasWScale, o.WScale, o.HasTS, o.TSVal = 1460, true, true, 7, true, rand.Uint32()
	packet, err := syn.Append(nil)
	if err != nil {
		e.log.Debug("SYN not encoded", "error", err)
		return verdict{}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for range trialRounds {
		for _, device := range []int{at.ifindex, at.ifindex, 0} {
			way := inject.Way{Device: device, Mark: e.cfg.Mark.Value}
			if err := e.inject.ToServer(inject.Packet{Data: packet, Way: way}); err != nil {
				e.log.Debug("SYN not sent", "connection", flow, "interface", device, "error", err)
				continue
			}
			timer.Reset(trialWait)
			select {
			case <-e.trials.answer:
				return verdict{kind: answered}
			case <-e.closing:
				return verdict{}
			case <-timer.C:
			}
			if state, err := w.State(flow, at.ifindex); err == nil && state == sockdiag.SynReceived {
				return verdict{kind: answered}
			}
		}
	}
	if !e.listens(w, at.port) {
		return verdict{}
	}
	what := "was not answered"
	if slot.Egress() > 0 {
		what = "was refused"
	}
	return verdict{kind: barred, why: fmt.Sprintf("a SYN from %v to %v %s", client, server, what)}
}

// knows reports whether the core has a connection of the flow.
func (e *Engine) knows(f Flow) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.machine.Conn(f) != nil
}

// listens reports whether a port's listener can be expected to have answered: it is
// there, and neither of its queues is full.
func (e *Engine) listens(w *sockdiag.Watcher, port uint16) bool {
	room, err := w.Room(port)
	if err != nil || room <= 0 {
		return false
	}
	list, err := sockdiag.Sockets([]uint16{port})
	for i := range list {
		if list[i].State == sockdiag.SynReceived {
			room--
		}
	}
	if err != nil || room <= 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.machine.MayOpen(port)
}

// takeBack leaves nothing of a trial. Should the half-open connection stay, the gate goes
// on to hold its SYN-ACKs: those of which it knows no SYN it holds anyway.
func (e *Engine) takeBack(f Flow, ifindex int) {
	err := sockdiag.Destroy(f, ifindex)
	if err != nil && !errors.Is(err, sockdiag.ErrNotFound) {
		e.log.Warn("a handshake that was tried is left to the kernel", "connection", f, "error", err)
		return
	}
	if err := e.gate.Unbind(f); err != nil {
		e.log.Debug("unbind", "connection", f, "error", err)
	}
}
