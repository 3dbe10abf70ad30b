package recovery

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/version"
	"github.com/ftnet/ftnet/rawio"
)

// Document is the status page of the engine.
func (h *Host) Document() *status.Document {
	snap, err := h.engine.Snapshot(true)
	if err != nil {
		h.log.Warn("status is incomplete", "error", err)
	}
	d := &status.Document{Version: status.Version, Time: time.Now()}
	d.Engine = status.Engine{
		ID: h.before.Dir.ID, Name: h.cfg.Name, Version: version.String(), PID: os.Getpid(),
		Started: h.started, Interfaces: snap.Interfaces,
	}
	if l, ok := h.log.(interface{ Lost() uint64 }); ok {
		d.Engine.LostLines = l.Lost()
	}
	d.Log = h.logStatus(snap)
	d.Tap = status.Tap{Packets: snap.TapPackets, Bytes: snap.TapBytes, Losses: snap.TapDrops, Fragments: snap.Fragments, Invalid: snap.BadPackets}
	d.Gate = gateStatus(snap)
	services := h.list()
	d.Memory = memory(services)
	h.programs(d, services, snap.Connections)
	if len(d.Programs) == 1 {
		p := d.Programs[0]
		d.Engine.Command, d.Process = p.Command, p.Process
		d.Log.Quota, d.Log.OnFull = p.Log.Quota, p.Log.OnFull
	}
	return d
}

// programs adds the services with their ports and connections.
func (h *Host) programs(d *status.Document, services []*Service, connections []rawio.Connection) {
	owner := map[uint16]string{}
	count, halfOpen := map[uint16]int{}, map[uint16]int{}
	for i := range connections {
		if c := &connections[i]; c.HalfOpen {
			halfOpen[c.Port]++
		} else {
			count[c.Port]++
		}
	}
	handshakes, untried := h.handshakes()
	for _, s := range services {
		program, ports := s.status(count)
		d.Programs = append(d.Programs, program)
		for n, p := range ports {
			owner[n] = s.name
			p.HalfOpen = halfOpen[n]
			if p.State == status.ServiceListening || p.State == status.ServiceRecovering {
				p.Handshakes, p.Untried = handshakes[n], untried[n]
			}
			d.Services = append(d.Services, p)
		}
	}
	slices.SortFunc(d.Programs, func(a, b status.Program) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Services, func(a, b status.Service) int {
		return strings.Compare(a.Program+" "+a.Address, b.Program+" "+b.Address)
	})
	for i := range connections {
		c := connection(&connections[i])
		c.Program = owner[connections[i].Port]
		d.Connections = append(d.Connections, c)
	}
}

// handshakes are those that were tried, and those that could not be, by port.
func (h *Host) handshakes() (tried, untried map[uint16][]status.Handshake) {
	tried, untried = map[uint16][]status.Handshake{}, map[uint16][]status.Handshake{}
	for _, t := range h.engine.Handshakes() {
		to := tried
		if t.Untried {
			to = untried
		}
		to[t.Port] = append(to[t.Port], status.Handshake{
			Interface: t.Interface, Network: t.Network, Answered: t.Answered, Loopback: t.Loopback, Reason: t.Reason, Since: t.Since,
		})
	}
	for _, all := range []map[uint16][]status.Handshake{tried, untried} {
		for _, list := range all {
			slices.SortFunc(list, func(a, b status.Handshake) int {
				return strings.Compare(a.Interface+" "+a.Network, b.Interface+" "+b.Network)
			})
		}
	}
	return tried, untried
}

// status is what the service tells of itself. count has the connections of each
// port.
func (s *Service) status(count map[uint16]int) (status.Program, map[uint16]status.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := &s.cfg.Log
	out := status.Program{
		Name: s.name, Mode: string(s.cfg.Mode), Command: s.cfg.Argv(), Listen: s.cfg.Listen,
		Process:       s.process.status(),
		Log:           status.ProgramLog{Policy: log.Keep.String(), Quota: uint64(s.cfg.Quota), OnFull: s.cfg.OnFull.String(), WhenDown: log.WhenDown.String()},
		WorkerCrashes: s.workers.crashes,
	}
	if log.WhenDown == policy.DownUnprotect {
		out.Log.DownAfter = log.DownAfter.Seconds()
	}
	if log.Keep == policy.LogSinceIdle {
		out.Log.Idle = log.Idle.Seconds()
	}
	done, _, err := s.serving()
	out.Ready = done && serves(err)
	ports := map[uint16]status.Service{}
	for n, p := range s.ports {
		out.Connections += count[n]
		ports[n] = p.status(s, n, count[n])
	}
	return out, ports
}

// processStates is what the status page calls the states of a process.
var processStates = [...]status.ProcessState{
	Starting: status.ProcessStarting, Running: status.ProcessRunning, Restarting: status.ProcessRestarting,
	Stopping: status.ProcessStopping, Stopped: status.ProcessStopped, Draining: status.ProcessEnded, Ended: status.ProcessEnded,
}

func (p *process) status() status.Process {
	return status.Process{State: processStates[p.state], PID: p.pid, Since: p.since, Restarts: p.restarts, LastExit: p.lastExit}
}

// status of a port. The service's mu is held.
func (p *port) status(s *Service, n uint16, connections int) status.Service {
	out := status.Service{
		Program: s.name, Network: p.network, Address: p.address, Compare: p.compare, Connections: connections,
		State: status.ServiceListening, Accepted: p.accepted, Recovered: p.recovered,
		Mismatches: p.mismatches, Outages: p.outages, RefusedOptions: p.refused,
		LastOutage: p.last.Seconds(), LongestOutage: p.longest.Seconds(), Unprotected: maps.Clone(p.unprotected),
	}
	if out.Address == "" { // it is not known before an unmodified server listens
		out.Address = s.addressesOf(n)
	}
	switch {
	case p.fenced:
		out.State = status.ServiceFenced
	case !p.protected:
		out.State = status.ServiceStopped
	case p.left && p.crashedAt.IsZero():
		out.State = status.ServiceClosed
	case !p.listening && p.crashedAt.IsZero():
		out.State = status.ServiceStarting
	case !p.listening:
		out.State = status.ServiceOutage
	case !p.crashedAt.IsZero():
		out.State = status.ServiceRecovering
	}
	return out
}

func connection(c *rawio.Connection) status.Connection {
	out := status.Connection{
		ID: uint64(c.ID), Client: c.Flow.Client.String(), Server: c.Flow.Server.String(),
		State: c.State, Protection: status.Protected, Reason: c.Reason, How: c.How,
		BytesIn: uint64(c.Received), BytesOut: uint64(c.Acked),
		BytesLogged: uint64(max(c.Stable-c.Start, 0)), StableLag: uint64(c.Received - c.Stable),
		HeldACK: c.HeldACK, Recoveries: uint64(c.Recovered),
	}
	switch {
	case c.Over:
		out.Protection, out.How = status.Over, ""
	case !c.Protected:
		out.Protection, out.How = status.Unprotected, ""
	}
	if !c.Since.IsZero() { // else all that is known is that the kernel has it
		out.Age, out.Idle = time.Since(c.Since).Seconds(), c.Idle.Seconds()
	}
	return out
}

func gateStatus(snap rawio.Snapshot) status.Gate {
	return status.Gate{
		HeldACKs: snap.HeldACKs, Released: snap.SentACKs, HeldFINs: snap.HeldFINs, HeldRSTs: snap.HeldRSTs,
		LostEvents: snap.LostEvents, Mended: snap.Mended, Missing: snap.Missing, Reasons: snap.Counters,
	}
}

func memory(services []*Service) status.Memory {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out := status.Memory{Resident: status.Resident(), Heap: m.HeapInuse, Goroutines: runtime.NumGoroutine()}
	for _, s := range services {
		out.Journal += s.journalUsage()
	}
	return out
}

// journalUsage returns what the journal takes, in bytes; 0 after the service was
// removed.
func (s *Service) journalUsage() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.journal == nil {
		return 0
	}
	return uint64(s.journal.Usage().Memory)
}
