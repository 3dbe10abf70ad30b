package recovery

import (
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio/gate/kernel"
	"github.com/ftnet/ftnet/recovery/config"
)

// takeOver begins the recovery of the service's connections that an earlier engine
// has left in the log: from here on the gate holds them, until the server listens.
// Of a log that cannot be reached nothing is known; then all packets of the
// service's ports are held until it can.
func (s *Service) takeOver() error {
	e := s.host.engine
	if !e.Lasting() {
		return nil
	}
	if !s.host.cfg.Log.Recover {
		return s.forget()
	}
	configured := portsOf(s.listen)
	if err := e.Hold(s.cfg.Mode == config.ModeUnmodified, configured...); err != nil {
		return err
	}
	left, err := e.Leftovers(s.host.starting, s.name)
	if err != nil {
		return err
	}
	for n, conns := range left {
		if len(configured) > 0 && !slices.Contains(configured, n) {
			s.log.Warn("connections in the log are not recovered: the service does not listen on their port", "port", n, "connections", conns)
			continue
		}
		if err := s.takeOverPort(n); err != nil {
			return err
		}
	}
	for _, n := range configured {
		if left[n] == 0 { // the port is protected when there is a server
			if err := e.Unhold(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget gives up what an earlier engine has left in the log.
func (s *Service) forget() error {
	n, err := s.host.engine.Forget(s.host.starting, s.name)
	if n > 0 {
		s.log.Warn("connections from before are not recovered, as configured, and deleted from the log", "connections", n)
	}
	return err
}

func (s *Service) takeOverPort(n uint16) error {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	if err := s.own(n); err != nil {
		return err
	}
	s.mu.Lock()
	s.ports[n].crashedAt = time.Now()
	s.mu.Unlock()
	return s.protect([]uint16{n})
}

// GiveUp has Add return that waits for a log which cannot be reached, now and from now
// on. The error is a context.Canceled then.
func (h *Host) GiveUp() { h.giveUp() }

// Settled tells that all services are there that an engine which was killed may
// have left something of. Their connections are held by this engine now, and what
// the other one has left in the kernel is removed.
func (h *Host) Settled() {
	if h.adopted {
		h.disown()
	}
	kept, err := runtimedir.List(h.cfg.RuntimeDir)
	if err != nil {
		h.log.Warn("directories of dead engines not listed", "error", err)
	}
	needed := func(id string) bool {
		return runtimedir.Lives(h.cfg.RuntimeDir, id) || slices.ContainsFunc(kept, func(e runtimedir.Entry) bool { return e.ID == id && inhabited(e.Path) })
	}
	gone, err := kernel.Clean(h.cfg.BPFFS, needed)
	if err != nil {
		h.log.Warn("filters and pins of dead engines not removed", "error", err)
	}
	if len(gone.Attached) > 0 || len(gone.Pins) > 0 {
		h.log.Info("removed what dead engines had left", "filters", gone.Attached, "pins", gone.Pins)
	}
}

// disown gives up what the engine before had and this one has no service for.
func (h *Host) disown() {
	var names []string
	for _, s := range h.list() {
		names = append(names, s.name)
	}
	services, err := evict(h.dir.Path, func(service string) bool { return slices.Contains(names, service) })
	if err != nil {
		h.log.Warn("processes of the engine before not ended", "error", err)
	}
	if len(services) > 0 {
		h.log.Info("ended server processes that no service has any more", "services", services)
	}
	h.disownPorts()
}

// disownPorts gives ports up that nobody has claimed, when all have had the chance.
func (h *Host) disownPorts() {
	if slices.ContainsFunc(h.list(), (*Service).isAdopting) {
		return
	}
	for _, n := range h.engine.Inherited() {
		h.mu.Lock()
		owned := h.byPort[n] != nil
		h.mu.Unlock()
		if !owned {
			if err := h.engine.Disown(n); err != nil {
				h.log.Warn("port of the engine before not given up", "port", n, "error", err)
			}
		}
	}
}
