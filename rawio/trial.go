package rawio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/inject"
)

// A trial's handshake takes the same ways as a recovery's: its flow is bound to a slot in
// ModeSpoof, so that the gate holds all packets that the kernel sends of it; its SYN arrives on the
// interface, and if that is not answered on loopback. The trial ends with the SYN-ACK: when the
// kernel has answered, the half-open connection is destroyed. No third ACK is sent, so that
// there is nothing to accept, with TCP_DEFER_ACCEPT or without; and no RST, which a rule set
// could drop. A SYN cookie leaves nothing to destroy.
//
// The answer never leaves the host: a trial is made only if the gate is
// on the interface by which the routes would send it.

const (
	// trialWait is how long to wait for the gate's event of an answer. The kernel answers while the SYN
	// is being sent; on a busy host the event takes longer. After trialWait the kernel is asked.
	trialWait = 250 * time.Millisecond
	// trialRounds is how often all ways are tried before a trial counts as unanswered.
	trialRounds = 2
)

type verdictKind uint8

const (
	undecided verdictKind = iota // the listener may be the cause
	answered
	unanswered
)

// verdict is the result of a trial.
type verdict struct {
	kind     verdictKind
	why      string
	loopback bool // answered, but only to a SYN on loopback
}

// handshaker begins handshakes in clients' names, one at a time, and removes what they leave.
type handshaker struct {
	log     hclog.Logger
	inject  injector
	table   socketTable
	mark    uint32 // of what it sends
	closing <-chan struct{}

	// hold makes the gate hold the kernel's packets of a flow, and pass SYN-ACKs to answered; free ends
	// that. refused reports whether the kernel has sent anything but SYN-ACKs.
	hold    func(Flow) error
	free    func(Flow) error
	refused func() bool
	// clientPort returns the port that a client of a service's port may have.
	clientPort func(port uint16) uint16
	known      func(Flow) bool        // there is a connection with this flow
	serves     func(port uint16) bool // a server is still there

	mu     sync.Mutex    // guards flow
	flow   segment.Flow  // of the handshake under way
	answer chan struct{} // receives a value when it is answered
}

// answered takes an answer from the gate.
func (h *handshaker) answered(s *segment.Segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flow == (Flow{Client: s.Dst, Server: s.Src}) {
		select {
		case h.answer <- struct{}{}:
		default:
		}
	}
}

// begin sets the flow under trial.
func (h *handshaker) begin(f Flow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flow = f
	select {
	case <-h.answer: // of an earlier trial
	default:
	}
}

// try begins a handshake at an entrance in the name of a client, and removes what it leaves.
func (h *handshaker) try(at entrance, client, server netip.Addr) verdict {
	flow := Flow{
		Client: netip.AddrPortFrom(client, h.clientPort(at.port)),
		Server: netip.AddrPortFrom(server, at.port),
	}
	w, err := h.table.Watch()
	if err != nil {
		return verdict{}
	}
	defer w.Close()
	if _, err := w.State(flow, at.ifindex); !errors.Is(err, sockdiag.ErrNotFound) || h.known(flow) {
		return verdict{} // there is a connection with this flow, or that is not known
	}
	h.begin(flow)
	if err := h.hold(flow); err != nil {
		h.log.Debug("flow not bound", "error", err)
		return verdict{}
	}
	defer h.takeBack(flow, at.ifindex)
	packet, err := trialSYN(flow)
	if err != nil {
		h.log.Debug("SYN not encoded", "error", err)
		return verdict{}
	}
	switch found, decided := h.send(w, at, flow, packet); {
	case decided:
		return found
	case !h.listens(w, at, server):
		return verdict{}
	}
	what := "was not answered"
	if h.refused() {
		what = "was refused"
	}
	return verdict{kind: unanswered, why: fmt.Sprintf("a SYN from %v to %v %s", client, server, what)}
}

// trialSYN returns a client's SYN that must not be forwarded: a rule set that would redirect
// it to a listener forwards it when there is none.
func trialSYN(f Flow) ([]byte, error) {
	packet, err := synOf(f).Append(nil)
	if err == nil {
		segment.Stay(packet)
	}
	return packet, err
}

// synOf returns a SYN with a client's usual options.
func synOf(f Flow) *segment.Segment {
	s := &segment.Segment{Src: f.Client, Dst: f.Server, Seq: rand.Uint32(), Flags: segment.SYN, Window: 64240}
	o := &s.Options
	o.MSS, o.SACKPermitted, o.HasWScale, o.WScale, o.HasTS, o.TSVal = 1460, true, true, 7, true, rand.Uint32()
	return s
}

// send sends the SYN by all ways until the kernel answers. If it does not, decided is false.
func (h *handshaker) send(w socketWatcher, at entrance, flow Flow, packet []byte) (found verdict, decided bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for range trialRounds {
		for _, device := range []int{at.ifindex, at.ifindex, 0} {
			way := inject.Way{Device: device, Mark: h.mark}
			if err := h.inject.ToServer(inject.Packet{Data: packet, Way: way}); err != nil {
				h.log.Debug("SYN not sent", "connection", flow, "interface", device, "error", err)
				continue
			}
			timer.Reset(trialWait)
			select {
			case <-h.answer:
				return answeredBy(at, device), true
			case <-h.closing:
				return verdict{}, true
			case <-timer.C:
			}
			if state, err := w.State(flow, at.ifindex); err == nil && state == sockdiag.SynReceived {
				return answeredBy(at, device), true
			}
		}
	}
	return verdict{}, false
}

// answeredBy returns the verdict on an entrance that has answered a SYN on a device.
func answeredBy(at entrance, device int) verdict {
	return verdict{kind: answered, loopback: device == 0 && at.ifindex != inject.Loopback}
}

// listens reports whether a listener should have answered: there is one for that address, and
// neither of the port's queues is full.
func (h *handshaker) listens(w socketWatcher, at entrance, server netip.Addr) bool {
	listeners, err := h.table.Listeners([]uint16{at.port})
	if err != nil || !taken(listeners, at, server) {
		return false
	}
	room, err := w.Room(at.port)
	if err != nil || room <= 0 {
		return false
	}
	list, err := h.table.Sockets([]uint16{at.port})
	for i := range list {
		if list[i].State == sockdiag.SynReceived {
			room--
		}
	}
	return err == nil && room > 0 && h.serves(at.port)
}

// takeBack removes what a trial has left. If the half-open connection stays, the gate
// continues to hold its SYN-ACKs, as it holds all SYN-ACKs whose SYN is not known.
func (h *handshaker) takeBack(f Flow, ifindex int) {
	err := h.table.Destroy(f, ifindex)
	if err != nil && !errors.Is(err, sockdiag.ErrNotFound) {
		h.log.Warn("half-open connection of a trial not removed", "connection", f, "error", err)
		return
	}
	if err := h.free(f); err != nil {
		h.log.Debug("unbind", "connection", f, "error", err)
	}
}

// handshaker returns the engine's handshaker. Its flow is bound to a slot that stays in ModeSpoof.
func (e *Engine) handshaker() *handshaker {
	return &handshaker{
		log: e.log, inject: e.inject, table: e.table, mark: e.cfg.Mark.Value, closing: e.closing, answer: make(chan struct{}, 1),
		hold: func(f Flow) error {
			slot := e.gate.Slot(e.trialSlot())
			slot.ResetGate()
			slot.SetMode(gate.ModeSpoof)
			return e.gate.Bind(f, e.trialSlot())
		},
		free:       e.gate.Unbind,
		refused:    func() bool { return e.gate.Slot(e.trialSlot()).Egress() > 0 },
		clientPort: func(uint16) uint16 { return uint16(1024 + rand.IntN(65536-1024)) },
		known: func(f Flow) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.machine.Conn(f) != nil
		},
		serves: func(port uint16) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.machine.MayOpen(port)
		},
	}
}

// trialSlot is the slot of the flow under trial.
func (e *Engine) trialSlot() uint32 { return uint32(e.cfg.MaxConns) + 1 }
