package recovery

import (
	"path/filepath"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/recovery/supervisor"
)

var _ supervisor.Hooks = (*service)(nil)

// Starting tells the child where the engine is.
func (s *service) Starting(attempt int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setProcess(status.ProcessStarting, 0)
	if attempt > 1 {
		s.process.restarts++
	}
	return []string{control.EnvPath + "=" + filepath.Join(s.dir.Path, runtimedir.NorthSocket)}, nil
}

// Started notes the process.
func (s *service) Started(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.supervised = pid
	if s.process.pid == 0 { // else it has said already that it listens
		s.process.pid = pid
	}
}

// Stopping notes that the end is asked for: what the process now closes is
// meant, announced or not.
func (s *service) Stopping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setProcess(status.ProcessStopping, s.process.pid)
}

// Ended is for what the process leaves running; nothing is asked of it here.
func (s *service) Ended(supervisor.Exit) error { return nil }

// Halted is not called: nobody stops this service but Run's end.
func (s *service) Halted() {}

// Exited declares the outage, or lets the clients go. The process's sockets
// are closed; nothing is started before Exited returns.
func (s *service) Exited(e supervisor.Exit) {
	s.mu.Lock()
	s.process.lastExit = e.String()
	state := status.ProcessEnded
	if e.Kind == supervisor.Crashed {
		state = status.ProcessRestarting
	}
	s.setProcess(state, 0)
	s.process.supervised = 0
	s.ended = e.Kind != supervisor.Crashed
	s.mu.Unlock()
	ports := s.portList()
	if e.Kind == supervisor.Crashed {
		s.crash(ports)
		return
	}
	s.release(ports)
}

// GaveUp notes that no start will follow; Run tells the clients.
func (s *service) GaveUp(error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.setProcess(status.ProcessEnded, 0)
}
