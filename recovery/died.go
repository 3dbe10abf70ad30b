package recovery

import (
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// The death of a server process has several witnesses, and any of them may be the first:
//
//	witness                  proves                                  where it is heard
//	reaped                   the supervised process is gone, with    hooks.Exited
//	                         all that it has started, and how
//	hungUp                   a process has ended, or its control     north.Gone
//	                         connection alone has: see procfs.Ending
//	replaced                 another process asks for its port       north.Protect
//	socket release (gate)    one connection's process has crashed    south.Machine.Crashed
//	RST for a SYN            nothing: nobody listens right now       south.Machine.Event
//
// Only the first three concern a port as a whole. died takes them, and it alone declares
// an outage. The gate's news of a released socket concerns one connection, which the core
// takes from the kernel by itself; if all of the server is gone, the supervisor says so
// next. A refused SYN is held until one of the others has spoken.
type witness int

const (
	reaped witness = iota + 1
	hungUp
	replaced
)

// evidence is what a witness tells of a death.
type evidence struct {
	by   witness
	exit supervisor.Exit // reaped
	peer uint64          // hungUp, replaced: the control connection of the process that is dead, or that asks
	pid  int             // hungUp: its process
	port uint16          // replaced
	main int             // hungUp: the supervised process at that time
	late bool            // hungUp: goneGrace has passed
}

// verdict is what follows from evidence.
type verdict int

const (
	alive    verdict = iota // nothing, or another witness says it, and says more
	unclear                 // the supervised process lives, but may be about to end
	crashed                 // an outage
	complete                // an outage for new connections; the process has closed the others as it wanted
	over                    // no outage: what the kernel has to say goes out
)

// outages is what the engine is told of a death. Each may be said more than once.
type outages interface {
	Crash(ports ...uint16)
	Succeed(ports ...uint16)
	Release(port uint16)
}

// goneGrace is how long the end of a control connection is unclear while the supervised
// process lives. If a process has ended that it had started, it may end of the same cause,
// and then the supervisor says how that was meant, or it may start the next server, as a shell
// does in a loop. If the control connection is its own, it may have closed that on its way to
// exit. Nothing but time tells what a living process is about to do. But most often the
// question is not open: it is not after an end that is known for a failure, nor in a stop, nor
// where the supervised process is ending, nor once another process has asked for the port.
const goneGrace = 100 * time.Millisecond

// died tells the engine what follows from evidence of the death of a process. The order of
// witnesses does not matter, nor how often one speaks.
func (s *Service) died(e evidence) {
	v := s.judge(e)
	switch ports := s.concerned(e); v {
	case unclear:
		e.late = true
		time.AfterFunc(goneGrace, func() { s.died(e) })
		return
	case crashed:
		s.outage(ports, s.outages.Crash)
	case complete:
		s.outage(ports, s.outages.Succeed)
	case over:
		s.release(ports)
	}
	if e.by == hungUp {
		s.mu.Lock()
		s.leaving--
		s.mu.Unlock()
	}
}

// concerned returns the ports that evidence is of.
func (s *Service) concerned(e evidence) []uint16 {
	return s.portList(func(n uint16, p *port) bool {
		switch e.by {
		case hungUp: // unless another process has asked for it since
			return p.owner == e.peer && p.crashedAt.IsZero()
		case replaced:
			return n == e.port
		}
		return p.protected
	})
}

// judge weighs evidence.
func (s *Service) judge(e evidence) verdict {
	switch e.by {
	case reaped:
		switch {
		case !e.exit.Again || e.exit.Kind == supervisor.Stopped:
			return over
		case e.exit.Kind == supervisor.Clean:
			return complete
		}
		return crashed
	case replaced:
		if s.replaced(e) {
			return crashed
		}
		return alive
	}
	return s.judgeHangup(e)
}

// replaced reports whether the process that had a port is dead, and nobody has said so.
func (s *Service) replaced(e evidence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[e.port]
	return p != nil && p.owner != 0 && p.owner != e.peer && p.crashedAt.IsZero() && s.dead(p.owner)
}

// dead reports whether a server process has ended or is about to, even if the end of its
// control connection has not been heard of yet. s.mu is held.
func (s *Service) dead(peer uint64) bool {
	pid, connected := s.peers[peer]
	return !connected || ends(pid)
}

// judgeHangup weighs the end of a control connection. Of the supervised process, and of a
// stop, the supervisor tells all that there is to tell.
func (s *Service) judgeHangup(e evidence) verdict {
	s.mu.Lock()
	main, stopping := s.process.supervised, s.process.state == Stopping
	s.mu.Unlock()
	switch {
	case main == 0, stopping, main != e.main, ends(main):
		return alive
	case e.late, failed(e.pid):
		return crashed
	}
	return unclear
}

// failed reports whether a process is known to end, or to have ended, by a signal or with
// a status other than 0. It is known until its parent has reaped it.
func failed(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err == nil && st.Ending && st.Exit != 0
}
