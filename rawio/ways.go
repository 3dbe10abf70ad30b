package rawio

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// The engine's packets take the same ways as the connection's own: to the client by
// the device and with the mark of the kernel's packets, to the server by the device of the
// client's packets. The gate notes both in the slot; ways has them for connections without a slot.

// stays is inject.Config.Stays. Several goroutines call it. Packets to an address that the host does not
// have are delivered here only by a route of type local (TPROXY, AnyIP). That route may depend on a
// mark that a rule set gives: then the packet has to arrive by the device.
func (e *Engine) stays(to netip.Addr, mark uint32) bool {
	return e.local(to) || routesHere(to, mark)
}

// routesHere reports whether the host delivers to itself what it sends to an address with a
// mark.
func routesHere(to netip.Addr, mark uint32) bool {
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{Mark: mark})
	return err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL
}

// loopbackCarries reports whether the loopback interface is not one of those that
// carry the service: the engine's own packets need it.
func (e *Engine) loopbackCarries() bool {
	return len(e.cfg.Interfaces) > 0 && !slices.ContainsFunc(e.cfg.Interfaces, func(name string) bool {
		link, err := netlink.LinkByName(name)
		return err == nil && link.Attrs().Index == inject.Loopback
	})
}

func (e *Engine) openCarrier() error {
	if !e.loopbackCarries() {
		return nil
	}
	if err := e.gate.Attach(inject.Loopback); err != nil {
		return fmt.Errorf("rawio: attach to loopback: %w", err)
	}
	return nil
}

// way has the interfaces that a connection's packets use, 0 if not known, and the mark of the kernel's.
type way struct {
	in, out int
	mark    uint32
}

// ways are those of handshakes, of a bounded number, in two generations: when the younger one is
// full, the older one is dropped.
type ways struct{ cur, older map[Flow]way }

const maxWays = 16384

func (w *ways) get(f Flow) way {
	if v, ok := w.cur[f]; ok {
		return v
	}
	return w.older[f]
}

func (w *ways) set(f Flow, v way) {
	if _, ok := w.cur[f]; !ok && len(w.cur) >= maxWays {
		w.older, w.cur = w.cur, nil
	}
	if w.cur == nil {
		w.cur = make(map[Flow]way)
	}
	w.cur[f] = v
}

// take is get, and removes the entry.
func (w *ways) take(f Flow) way {
	v := w.get(f)
	delete(w.cur, f)
	delete(w.older, f)
	return v
}

// noteSYN notes the device on which a client's SYN arrived.
func (w *ways) noteSYN(s *segment.Segment, device int) {
	if s.Flags&(segment.SYN|segment.ACK) != segment.SYN {
		return
	}
	f := Flow{Client: s.Src, Server: s.Dst}
	v := w.get(f)
	v.in = device
	w.set(f, v)
}

// noteSYNACK notes the device by which the kernel's answer to a SYN would have left.
func (w *ways) noteSYNACK(s *segment.Segment, device int, mark uint32) {
	f := Flow{Client: s.Dst, Server: s.Src}
	v := w.get(f)
	v.out, v.mark = device, mark
	w.set(f, v)
}

// way returns a connection's ways: those in the slot, or else those of its handshake.
func (v *environment) way(f Flow) way {
	w := way{}
	if i, ok := v.e.machine.Slot(f); ok {
		s := v.e.gate.Slot(i)
		w.in = s.In()
		w.out, w.mark = s.Out()
	}
	if w.in == 0 || w.out == 0 {
		h := v.ways.get(f)
		if w.in == 0 {
			w.in = h.in
		}
		if w.out == 0 {
			w.out, w.mark = h.out, h.mark
		}
	}
	if w.in == 0 {
		w.in = w.out // most often it is the same
	}
	return w
}

// toClient returns the way of a packet to the client. Packets that the kernel would send by
// loopback follow the routes.
func (v *environment) toClient(f Flow) inject.Way {
	w := v.way(f)
	return inject.Way{Device: w.out, Mark: v.e.cfg.Mark.Apply(w.mark)}
}

// byDevice is how many spoofed SYNs are sent by the client's device before one goes by
// loopback: a rule set may allow there what it limits on the device, or the other way
// round. From then on they alternate. After reportAfter unanswered ones a warning is logged.
const byDevice, reportAfter = 2, 3

// toServer returns the way of a packet to the server. If connection tracking sees a SYN leave, it must
// take it for the first of a new connection, although it may have an entry of the old one.
func (v *environment) toServer(s *segment.Segment) inject.Way {
	f := Flow{Client: s.Src, Server: s.Dst}
	to := inject.Way{Device: v.way(f).in, Mark: v.e.cfg.Mark.Value}
	if s.Flags&(segment.SYN|segment.ACK) != segment.SYN {
		if _, ok := v.syns[f]; ok { // it was answered
			delete(v.syns, f)
			if v.e.inject.Room(to.Device) == 0 {
				v.tracking(f, (*conntrack.Table).Loosen)
			}
		}
		return to
	}
	if _, known := v.e.machine.Slot(f); !known {
		return to // of a new client, which repeats it
	}
	loopback, report := false, false
	v.syns[f], loopback, report = nextSYN(v.syns[f], s.Dst.Addr(), func() bool { return v.listens(s.Dst.Port()) })
	if loopback && v.e.stays(f.Server.Addr(), to.Mark) {
		to.Device = 0
	}
	if report {
		v.reportUnanswered(f, to.Device)
	}
	// Rule sets may translate a SYN that leaves by loopback, and connection tracking remembers that: it
	// must not take the next one, by the device, for a retransmission.
	if v.e.inject.Room(to.Device) == 0 || v.syns[f] > byDevice {
		v.tracking(f, (*conntrack.Table).Delete)
	}
	return to
}

// nextSYN returns how many spoofed SYNs of a connection are unanswered, including the one
// that is sent now, given how many were before; whether this one goes by loopback; and
// whether to log a warning. Without a listener SYNs are refused, and the gate holds the RSTs: that
// says nothing about rule sets, and the count begins anew. Loopback does not have link-local addresses.
func nextSYN(before int, to netip.Addr, listens func() bool) (n int, loopback, report bool) {
	if before >= byDevice && !listens() {
		before = 0
	}
	return before + 1, before >= byDevice && before%2 == 0 && !to.IsLinkLocalUnicast(), before == reportAfter
}

// reportUnanswered warns, once in an outage, that a server's stack does not answer.
func (v *environment) reportUnanswered(f Flow, device int) {
	port := f.Server.Port()
	if v.reported[port] {
		return
	}
	v.reported[port] = true
	v.e.trials.repeat(port)
	v.e.log.Warn("no SYN-ACK for spoofed handshakes; does a rule set drop the SYNs?",
		"port", port, "connection", f, "tried", []string{"by the client's interface", "by loopback"}, "interface", device)
}

// tracking changes what connection tracking knows of a connection.
func (v *environment) tracking(f Flow, change func(*conntrack.Table, segment.Flow) error) {
	if err := change(&v.e.tracked, f); err != nil {
		v.e.log.Debug("connection tracking not updated", "connection", f, "error", err)
	}
}

// headers is the size of the longest headers of IPv6 and TCP, bytes.
const headers = 40 + 60

// parts cuts a segment to the server into pieces that can arrive by the device: where
// loopback is down, no longer than the device's MTU allows.
func (v *environment) parts(s *segment.Segment, device int) iter.Seq[*segment.Segment] {
	return func(yield func(*segment.Segment) bool) {
		room := v.e.inject.Room(device) - headers
		if room <= 0 || len(s.Payload) <= room {
			yield(s)
			return
		}
		part := *s
		for rest := s.Payload; len(rest) > 0; rest = rest[len(part.Payload):] {
			part.Payload = rest[:min(room, len(rest))]
			part.Flags = s.Flags
			if len(part.Payload) < len(rest) {
				part.Flags &^= segment.FIN | segment.PSH
			}
			if !yield(&part) {
				return
			}
			part.Seq += uint32(len(part.Payload))
		}
	}
}

// Progress asks sock_diag(7).
func (v *environment) Progress(f Flow) (south.Progress, bool) {
	w, err := v.watcher()
	if err == nil {
		var b sockdiag.Bytes
		way := v.way(f)
		if b, err = w.Progress(f, way.out, way.in); err == nil {
			return south.Progress(b), true
		}
	}
	v.e.log.Debug("socket progress unknown", "connection", f, "error", err)
	return south.Progress{}, false
}

// Unguarded asks the gate whether it is attached to an interface.
func (v *environment) Unguarded(index int) string {
	if v.e.gate.Attached(index) {
		return ""
	}
	return nameOf(index)
}
