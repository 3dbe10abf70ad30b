package recovery

import (
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio/gate"
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
	configured := portsOf(s.listen)
	if err := e.Hold(s.cfg.Mode == ModeUnmodified, configured...); err != nil {
		return err
	}
	left, err := e.Leftovers(s.host.ctx, s.name)
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

func (s *Service) takeOverPort(n uint16) error {
	if !s.owns(n) {
		claim, err := s.host.claim(s, n)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.ports[n] = &port{claim: claim, network: "tcp"}
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.ports[n].crashedAt = time.Now()
	s.mu.Unlock()
	return s.protect([]uint16{n})
}

// GiveUp has Add return that waits for a log which cannot be reached.
func (h *Host) GiveUp() { h.cancel() }

// Settled tells that all services are there that an engine which was killed may
// have left something of. Their connections are held by this engine now, and what
// the other one has left in the kernel is removed.
func (h *Host) Settled() {
	removed, err := gate.CleanStale(runtimedir.Living)
	if err != nil {
		h.log.Warn("filters of dead engines not removed", "error", err)
	}
	if len(removed) > 0 {
		h.log.Info("removed what dead engines had left", "filters", removed)
	}
}
