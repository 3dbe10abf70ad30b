package recovery

import (
	"slices"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
)

// report counts what the core tells of one of the service's ports. The engine's
// lock is held.
func (s *Service) report(r rawio.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[r.Port]
	if p == nil {
		return
	}
	switch r.Kind {
	case rawio.ConnEstablished:
		p.accepted++
	case rawio.ConnUnprotected:
		if p.unprotected == nil {
			p.unprotected = map[string]uint64{}
		}
		p.unprotected[r.Why]++
	case rawio.ConnRecovered:
		p.recovered++
	case rawio.ConnMismatch:
		p.mismatches++
	case rawio.ConnReset:
		s.lose(r.Flow, r.Reason)
	case rawio.ConnCrashed:
		s.workerCrashed(r.PID, r.Code)
	case rawio.SYNRefused:
		p.refused++
	case rawio.ServiceRecovered:
		if !p.crashedAt.IsZero() {
			p.last = time.Since(p.crashedAt)
			p.longest = max(p.longest, p.last)
			p.crashedAt = time.Time{}
			s.notify()
		}
	}
}

// lose notes a connection that was reset, for the caller of Restart. s.mu is held.
func (s *Service) lose(f rawio.Flow, why string) {
	asked := len(s.listen) > 0 && !slices.Contains(portsOf(s.listen), f.Server.Port())
	if s.process.lost != nil && !asked && s.process.lost[f] == "" {
		s.process.lost[f] = why
	}
}

// workerSettles is how long after the news of a connection's loss others of the
// same worker may come: its sockets are closed one after another, and the gate reports each
// by itself. Nothing says that a report was the last: that the process has closed all, as procfs
// tells, and a pidfd would without being asked, comes before those that the gate's ring still holds; a
// barrier in the ring would tell, but for a main process that is killed a moment later: a signal
// that is to come is no state of it. So one wait of this length remains in any case. It decides only how
// many connections one line of the log counts; they are recovered without waiting for it. Whether the
// main process ends as well, for which that line would be wrong, is read from procfs then.
const workerSettles = 50 * time.Millisecond

// workers are the processes of an unmodified server that have crashed while its
// main process went on.
type workers struct {
	crashes uint64
	dying   map[int]*dying     // by process
	closed  func(pid int) bool // procfs.HasClosed
}

// dying is a process whose connections are being counted.
type dying struct {
	main, code, connections int

	closed bool // all of its files, when it was looked at last
	more   bool // reports since then
}

// workerCrashed counts a connection that the crash of a process has
// interrupted. s.mu is held.
func (s *Service) workerCrashed(pid, code int) {
	d := s.workers.dying[pid]
	if d == nil {
		if s.workers.dying == nil {
			s.workers.dying = map[int]*dying{}
		}
		d = &dying{main: s.process.supervised, code: code}
		s.workers.dying[pid] = d
		time.AfterFunc(workerSettles, func() { s.workerGone(pid) })
	}
	d.connections++
	d.more = true
}

// workerGone tells of a process once it has closed its connections, and they have been counted, unless
// it was the main one or has ended with it: the supervisor tells of that.
func (s *Service) workerGone(pid int) {
	s.mu.Lock()
	d := s.workers.dying[pid]
	if !d.closed || d.more {
		d.closed, d.more = s.workers.closed(pid), false
		s.mu.Unlock()
		time.AfterFunc(workerSettles, func() { s.workerGone(pid) })
		return
	}
	delete(s.workers.dying, pid)
	alone := d.main != 0 && d.main == s.process.supervised && pid != d.main && lives(d.main)
	if alone {
		s.workers.crashes++
	}
	s.mu.Unlock()
	if alone {
		s.log.Warn("a process of the server crashed; its connections are recovered", "pid", pid,
			"exit", exitName(d.code), "connections", d.connections)
	}
}

// lives reports whether a process has not ended, reaped or not, and is not about to.
func lives(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err == nil && !st.Ending
}

// exitName describes an end by its number in wait(2).
func exitName(code int) string {
	ws := syscall.WaitStatus(code)
	e := supervisor.Exit{Kind: supervisor.Crashed, Code: ws.ExitStatus()}
	if ws.Signaled() {
		e.Signal, e.Core = ws.Signal(), ws.CoreDump()
	}
	return e.String()
}
