package rawio

import (
	"errors"
	"math"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// Flow names a protected connection by its two ends.
type Flow = segment.Flow

// environment carries out what the core decides: it is its network, gate, record and kernel. The
// engine's lock is held in all its methods.
type environment struct {
	e     *Engine
	clock clock
	// out are the packets to clients of the present batch, which leave
	// together when the core is done.
	out []inject.Packet
	n   int // packets in out
	buf []byte

	reads     []uint32 // for NewReads
	ways      ways
	syns      map[Flow]int    // spoofed SYNs that were not answered yet
	reported  map[uint16]bool // ports for which unanswered SYNs were reported in this outage
	sockets   socketWatcher
	lastQuery struct { // see listens
		port   uint16
		at     int64 // time of the query, ns
		absent bool  // the port had no listener
	}
}

// core returns a configuration of the core with this environment.
func (v *environment) core() south.Config {
	return south.Config{Network: v, Gate: v, Record: v, Kernel: v, Fetch: v.Fetch, Report: v.Report}
}

func newEnvironment(e *Engine) *environment {
	return &environment{e: e, clock: newClock(), syns: map[Flow]int{}, reported: map[uint16]bool{}}
}

func (v *environment) Now() int64 { return v.clock.now() }

func (v *environment) Slot(i uint32) *gate.Slot { return v.e.gate.Slot(i) }

// Bind stores the ways of the handshake in the slot.
func (v *environment) Bind(f Flow, slot uint32) error {
	w := v.ways.take(f)
	v.e.gate.Slot(slot).SetWays(w.in, w.out, w.mark)
	return v.e.gate.Bind(f, slot)
}

func (v *environment) Unbind(f Flow) {
	delete(v.syns, f)
	if err := v.e.gate.Unbind(f); err != nil {
		v.e.log.Debug("unbind", "connection", f, "error", err)
	}
}

func (v *environment) HoldService(port uint16, unmodified bool) {
	if err := v.e.gate.SetService(port, gate.ServiceHold, unmodified); err != nil {
		v.e.log.Error("port not accepted by the gate", "port", port, "error", err)
	}
}

func (v *environment) SetService(port uint16, outage, unmodified bool) {
	state := gate.ServiceListen
	if outage {
		state = gate.ServiceOutage
	}
	if outage {
		delete(v.reported, port)
	}
	if err := v.e.gate.SetService(port, state, unmodified); err != nil {
		v.e.log.Error("port not accepted by the gate", "port", port, "error", err)
	}
}

// ToClient queues a packet for flush.
func (v *environment) ToClient(s *segment.Segment) {
	p, err := s.Append(v.room())
	if err != nil {
		v.e.log.Error("segment not encoded", "segment", s, "error", err)
		return
	}
	v.queue(p, Flow{Client: s.Dst, Server: s.Src})
}

// queue puts a packet to the client in room() into the batch.
func (v *environment) queue(p []byte, f Flow) {
	v.out[v.n] = inject.Packet{Data: p, Way: v.toClient(f)}
	v.n++
}

// room returns the buffer of the next packet in out.
func (v *environment) room() []byte {
	if v.n == len(v.out) {
		v.out = append(v.out, inject.Packet{})
	}
	return v.out[v.n].Data[:0]
}

// flush sends what ToClient and Forward have queued.
func (v *environment) flush() {
	if v.n == 0 {
		return
	}
	for rest := v.out[:v.n]; len(rest) > 0; {
		n, err := v.e.inject.ToClient(rest)
		if err == nil {
			break
		}
		v.failed(err)
		rest = rest[n+1:] // the others may succeed
	}
	v.n = 0
}

// ToServer sends at once: the core changes modes in step with it.
func (v *environment) ToServer(s *segment.Segment) {
	to := v.toServer(s)
	for part := range v.parts(s, to.Device) {
		p, err := part.Append(v.buf[:0])
		if err != nil {
			v.e.log.Error("segment not encoded", "segment", part, "error", err)
			return
		}
		v.buf = p
		if !v.e.local(s.Dst.Addr()) { // a rule set redirects it to a listener; if not, it must not be forwarded
			segment.Stay(p)
		}
		if err := v.e.inject.ToServer(inject.Packet{Data: p, Way: to}); err != nil {
			v.failed(err)
		}
	}
}

func (v *environment) Forward(packet []byte) {
	if err := segment.FillChecksum(packet); err != nil {
		v.e.badPackets.Add(1)
		return
	}
	var s segment.Segment
	if err := v.e.decoder.Decode(packet, segment.ChecksumTrusted, &s); err != nil {
		v.e.badPackets.Add(1)
		return
	}
	v.queue(append(v.room(), packet...), Flow{Client: s.Dst, Server: s.Src})
}

// failed counts a packet that was not sent: TCP retransmits.
func (v *environment) failed(err error) {
	v.e.sendErrors.Add(1)
	v.e.log.Warn("packet not sent", "error", err)
}

func (v *environment) Fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	v.e.fetches.add(fetch{slot, gen, id, off, n})
}

func (v *environment) Destroy(f Flow) {
	w := v.way(f)
	if err := v.e.table.Destroy(f, w.out, w.in); err != nil && !errors.Is(err, sockdiag.ErrNotFound) {
		v.e.log.Warn("the crashed server's socket was not removed", "connection", f, "error", err)
	}
}

func (v *environment) Publish(slot, gen uint32, f Flow) error {
	return v.journal(slot).Publish(slot, gen, journal.Flow(f))
}

// journal returns the journal of the service of the connection in a slot.
func (v *environment) journal(slot uint32) *journal.Journal {
	return v.e.ports[v.e.machine.BySlot(slot).Flow.Server.Port()].Journal
}

func (v *environment) Withdraw(slot uint32) { v.journal(slot).Withdraw(slot) }

func (v *environment) Prepare(slot uint32, b south.Base, una, sent, stable int64) error {
	return v.journal(slot).PrepareRecovery(slot, journal.Base(b), una, sent, stable)
}

func (v *environment) Head(slot uint32) south.Head {
	h, ok := v.journal(slot).Head(slot)
	if !ok {
		return south.Head{Lost: true}
	}
	return south.Head{
		Accepted: h.AcceptSeq != 0, AcceptSeq: h.AcceptSeq,
		Closing: h.State == journal.Closing, Lost: h.Overflow, Output: h.Recorded,
	}
}

func (v *environment) Ending(port uint16) bool {
	s := v.e.ports[port]
	return s != nil && s.Ending != nil && s.Ending()
}

func (v *environment) Report(r south.Report) {
	log := v.e.log
	v.e.unseen.note(&r)
	switch r.Kind {
	case south.ConnOpened:
		v.e.trials.noteClient(r.Flow, v.way(r.Flow).in)
	case south.ServiceRecovered:
		v.e.trials.repeat(r.Port)
	}
	switch r.Kind {
	case south.ConnMismatch: // its reset follows
	case south.ConnReset:
		log.Warn("connection reset", "connection", r.Flow, "reason", r.Reason, "logged", r.Logged)
	case south.ConnUnprotected:
		level := hclog.Warn
		if r.Why == reason.Off { // as configured
			level = hclog.Debug
		}
		log.Log(level, "connection is not protected", "connection", r.Flow, "reason", r.Reason)
	case south.QuotaFull:
		log.Warn("log quota", "connection", r.Flow, "reason", r.Reason, "logged", r.Logged)
	case south.ConnWaits:
		log.Warn("log backend rejected client data", "connection", r.Flow, "reason", r.Reason, "logged", r.Logged)
	case south.ConnImpossible:
		log.Error("connection in an impossible state; please report this", "connection", r.Flow, "reason", r.Reason)
	case south.SYNRefused:
		log.Warn("connection refused", "connection", r.Flow, "reason", r.Reason)
	case south.ServiceRecovered:
		log.Info("service recovered", "port", r.Port)
	default:
		if log.IsDebug() {
			log.Debug("connection", "event", r.Kind, "connection", r.Flow, "reason", r.Reason)
		}
	}
	v.e.report(&r)
}

// watcher returns the connection by which the kernel is asked about sockets, and opens it if necessary.
func (v *environment) watcher() (w socketWatcher, err error) {
	if v.sockets == nil {
		v.sockets, err = v.e.table.Watch()
	}
	return v.sockets, err
}

func (v *environment) Socket(f Flow) south.SocketState {
	w, err := v.watcher()
	if err == nil {
		var state sockdiag.State
		way := v.way(f)
		switch state, err = w.State(f, way.out, way.in); {
		case errors.Is(err, sockdiag.ErrNotFound), err == nil && state == sockdiag.Close:
			return south.SocketNone
		case err == nil && state == sockdiag.SynReceived:
			return south.SocketHalfOpen
		}
	}
	if err != nil {
		v.e.log.Debug("socket state unknown", "connection", f, "error", err)
	}
	return south.SocketOpen
}

func (v *environment) Room(port uint16) int {
	n, err := v.queueRoom(port)
	if err != nil {
		v.e.log.Debug("accept queue unknown", "port", port, "error", err)
		return math.MaxInt
	}
	return n
}

func (v *environment) queueRoom(port uint16) (int, error) {
	w, err := v.watcher()
	if err != nil {
		return 0, err
	}
	return w.Room(port)
}

// listensAge is for how long a result of listens is reused, ns.
const listensAge = 20e6

// listens reports whether a port has a listener, and true if that is not known. The last
// result is reused for a while: many connections ask at the same time.
func (v *environment) listens(port uint16) bool {
	if now := v.Now(); v.lastQuery.port != port || now-v.lastQuery.at >= listensAge {
		_, err := v.queueRoom(port)
		v.lastQuery.port, v.lastQuery.at, v.lastQuery.absent = port, now, errors.Is(err, sockdiag.ErrNotFound)
	}
	return !v.lastQuery.absent
}

func (v *environment) close() {
	if v.sockets != nil {
		_ = v.sockets.Close()
	}
	_ = v.e.tracked.Close()
}
