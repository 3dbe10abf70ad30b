package recovery

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/version"
	"github.com/ftnet/ftnet/rawio"
)

// document is the status page of this engine.
func (s *service) document() *status.Document {
	snap, err := s.engine.Snapshot(true)
	if err != nil {
		s.log.Warn("status is incomplete", "error", err)
	}
	d := &status.Document{Version: status.Version, Time: time.Now()}
	s.mu.Lock()
	d.Engine = status.Engine{
		ID: s.dir.ID, Name: s.cfg.Name, Version: version.String(), PID: os.Getpid(),
		Started: s.started, Command: s.cfg.Command, Interfaces: snap.Interfaces,
	}
	d.Process = status.Process{
		State: s.process.state, PID: s.process.pid, Since: s.process.since,
		Restarts: s.process.restarts, LastExit: s.process.lastExit,
	}
	count := map[uint16]int{}
	for i := range snap.Connections {
		c := &snap.Connections[i]
		count[c.Flow.Server.Port()]++
		d.Connections = append(d.Connections, s.connection(c))
	}
	for n, p := range s.ports {
		d.Services = append(d.Services, p.status(count[n]))
	}
	s.mu.Unlock()
	used, _ := s.store.Usage()
	d.Log = status.Log{
		Backend: "memory", Status: s.store.Status().String(), Bytes: loggedBytes(snap), Memory: uint64(used),
		Quota: uint64(s.cfg.Quota), QuotaTotal: uint64(s.cfg.QuotaTotal), OnFull: string(s.cfg.OnFull),
		FullEvents: snap.Core.QuotaFull,
	}
	d.Tap = status.Tap{Packets: snap.TapPackets, Bytes: snap.TapBytes, Losses: snap.TapDrops, Invalid: snap.BadPackets}
	d.Gate = gateStatus(snap)
	d.Memory = s.memory()
	return d
}

func (p *port) status(connections int) status.Service {
	out := status.Service{
		Network: p.network, Address: p.address, Compare: p.compare, Connections: connections,
		State: status.ServiceListening, Accepted: p.accepted, Recovered: p.recovered,
		Mismatches: p.mismatches, Outages: p.outages, RefusedOptions: p.refused,
		LastOutage: p.last.Seconds(), LongestOutage: p.longest.Seconds(),
	}
	switch {
	case !p.listening:
		out.State = status.ServiceOutage
	case !p.crashedAt.IsZero():
		out.State = status.ServiceRecovering
	}
	return out
}

func (s *service) connection(c *rawio.Connection) status.Connection {
	out := status.Connection{
		ID: uint64(c.ID), Client: c.Flow.Client.String(), Server: c.Flow.Server.String(),
		State: c.State.String(), Protection: status.Protected, Reason: c.Reason,
		Age: time.Since(c.Since).Seconds(), Idle: c.Idle.Seconds(),
		BytesIn: uint64(c.Received), BytesOut: uint64(c.Acked),
		BytesLogged: uint64(c.Stable), StableLag: uint64(c.Received - c.Stable),
		HeldACK: c.HeldACK, Recoveries: uint64(c.Recovered),
	}
	if !c.Protected {
		out.Protection = status.Unprotected
	}
	return out
}

func loggedBytes(snap rawio.Snapshot) (n uint64) {
	for i := range snap.Connections {
		n += uint64(snap.Connections[i].Stable)
	}
	return n
}

func gateStatus(snap rawio.Snapshot) status.Gate {
	g := &snap.Gate
	return status.Gate{
		HeldACKs: g.AckHeld + g.SACKHeld, Released: snap.Core.ACKs,
		HeldFINs: g.FINHeld, HeldRSTs: g.RSTHeld, LostEvents: g.EventsLost,
		Reasons: map[string]uint64{
			"ack_lowered": g.AckLowered, "sack_removed": g.SACKRemoved, "window_limited": g.Limited,
			"synack_held": g.SYNACKHeld, "outage_out": g.OutageOut, "outage_in": g.OutageIn,
			"syn_held": g.SYNHeld, "syn_refused": g.SYNRefused, "syn_stripped": g.SYNStripped,
			"icmp_held": g.ICMPHeld, "icmp_translated": g.ICMPFixed, "ack_clamped": g.AckClamped,
			"malformed": g.Malformed, "rewrite_failed": g.RewriteFails,
			"segments_refused": snap.Core.Refused, "tap_holes": snap.Core.Holes, "send_errors": snap.SendErrors,
		},
	}
}

func (s *service) memory() status.Memory {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return status.Memory{
		Resident: resident(), Heap: m.HeapInuse, Journal: uint64(s.journal.Usage().Memory),
		Goroutines: runtime.NumGoroutine(),
	}
}

// resident returns the process's resident memory in bytes, 0 if unknown.
func resident() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// portOf returns the port of an address as a server gives it to Listen.
func portOf(address string) (uint16, error) {
	_, name, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("address %q has no port number", address)
	}
	return uint16(n), nil
}
