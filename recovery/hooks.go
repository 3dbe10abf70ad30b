package recovery

import (
	"context"
	"slices"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// hooks is what a service does at the turning points of its process.
type hooks struct{ s *Service }

var _ supervisor.Hooks = hooks{}

// Starting applies what Restart has brought, and tells the child where the
// engine is. The ports of an unmodified server are protected before it can
// listen.
func (h hooks) Starting(attempt int) ([]string, error) {
	s := h.s
	s.mu.Lock()
	s.process.becomeStarting()
	s.refused = nil
	if attempt > 1 {
		s.process.restarts++
	}
	next := s.pending
	s.pending = nil
	if next != nil {
		before := s.cfg
		s.before = &before
	}
	s.notify()
	s.mu.Unlock()
	if next != nil {
		if err := s.apply(*next); err != nil {
			return nil, err
		}
	}
	if s.socket != "" {
		return []string{control.EnvPath + "=" + s.socket}, nil
	}
	if err := s.free(s.portList(nil)); err != nil {
		return nil, err
	}
	return nil, s.protectAll()
}

// apply takes a new configuration. The clients of ports that the service no
// longer listens on get a RST.
func (s *Service) apply(next config.Service) error {
	uid, err := supervisor.UID(next.User)
	if err != nil {
		return err
	}
	listen := next.Addresses()
	s.mu.Lock()
	before := portsOf(s.listen)
	s.cfg, s.uid, s.listen = next, uid, listen
	s.mu.Unlock()
	if err := s.protectAgain(); err != nil {
		return err
	}
	after := portsOf(listen)
	gone := slices.DeleteFunc(before, func(n uint16) bool { return slices.Contains(after, n) })
	if len(gone) > 0 {
		s.abort(gone, "the service no longer listens on the port")
		s.host.wg.Go(func() { s.retire(gone) })
	}
	return nil
}

// retire gives ports up when their clients have had the time to take note.
func (s *Service) retire(ports []uint16) {
	s.mu.Lock()
	limit := s.cfg.Drain
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = s.host.engine.Drain(ctx, ports...) // what is left is the kernel's alone
	s.admitting.Lock()
	defer s.admitting.Unlock()
	s.mu.Lock()
	ports = slices.DeleteFunc(ports, func(n uint16) bool { // not if they have come back, or Remove was faster
		return s.ports[n] == nil || slices.Contains(portsOf(s.listen), n)
	})
	s.mu.Unlock()
	if err := s.giveUp(ports...); err != nil {
		s.log.Warn("port not given up", "error", err)
	}
}

// Started notes the process, and begins to look whether it listens.
func (h hooks) Started(pid int) {
	s := h.s
	s.mu.Lock()
	s.process.supervised = pid
	if s.process.pid == 0 { // else it has said already that it listens
		s.process.pid = pid
	}
	s.mu.Unlock()
	s.watch(pid)
}

// Stopping notes that the end is asked for: what the process now closes is
// meant, announced or not.
func (h hooks) Stopping() {
	s := h.s
	s.mu.Lock()
	s.process.becomeStopping()
	s.notify()
	s.mu.Unlock()
	if s.socket == "" {
		// Nothing tells a FIN of the request to stop from one of a crash, if
		// the server lets the signal end it.
		s.release(s.portList(protected))
	}
}

// Ended looks, before the rest of the process is cleared away, whether it has
// gone on without its main process. One that has given up because it may not have a
// port would be told the same again.
func (h hooks) Ended(e supervisor.Exit) error {
	h.s.mu.Lock()
	h.s.process.supervised, h.s.process.ending = 0, true
	refused := h.s.refused
	if h.s.process.state == Running { // it listened all the same
		refused = nil
	}
	h.s.mu.Unlock()
	h.s.unwatch()
	if e.Kind == supervisor.Crashed && refused != nil {
		return &PortError{refused}
	}
	if e.Kind != supervisor.Clean || h.s.socket != "" {
		return nil
	}
	return h.s.background(e.PID)
}

// Exited declares the outage, or ends the protection of the clients. The process's sockets
// are closed; nothing is started before Exited returns.
func (h hooks) Exited(e supervisor.Exit) {
	s := h.s
	s.mu.Lock()
	s.process.becomeExited(e)
	s.notify()
	s.mu.Unlock()
	s.abandon()
	s.died(evidence{by: reaped, exit: e})
	s.mu.Lock()
	s.process.ending = false
	s.mu.Unlock()
}

// Halted notes that Stop has taken effect.
func (h hooks) Halted() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.process.becomeStopped()
	h.s.notify()
}

// FellBack has the configuration before Restart applied once more.
func (h hooks) FellBack(why error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.pending, h.s.before = h.s.before, nil
	h.s.process.fellBack = why
}

// GaveUp notes that no start will follow; Run tells the clients.
func (h hooks) GaveUp(error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.process.becomeDraining()
	h.s.notify()
}
