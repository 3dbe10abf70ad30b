package recovery

import (
	"slices"
	"time"

	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/config"
)

// takeOver takes over what the predecessor has left of the service's connections, as far as
// that has not happened: see rawio.Engine.TakeOver. Add does, and, of a process that was to be
// adopted, what follows when that has come back, or has ended.
func (s *Service) takeOver() error {
	s.mu.Lock()
	heir := s.heir()
	s.mu.Unlock()
	return s.host.engine.TakeOver(s.host.starting, heir, s.takeOverPort)
}

// heir is what the engine has to know for that. s.mu is held.
func (s *Service) heir() rawio.Heir {
	return rawio.Heir{Service: s.name, Ports: portsOf(s.listen), Unmodified: s.cfg.Mode == config.ModeUnmodified, Adopt: s.adopting, Journal: s.journal}
}

func (s *Service) takeOverPort(n uint16) error {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	if err := s.own(n); err != nil {
		return err
	}
	s.mu.Lock()
	if !s.adopting {
		s.ports[n].crashedAt = time.Now()
	}
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
	h.mu.Lock()
	h.settled = true
	h.mu.Unlock()
	if h.before.Found {
		h.releaseProcesses()
	}
	h.releasePorts()
	gone, err := h.before.CleanGates(h.cfg.BPFFS)
	if err != nil {
		h.log.Warn("filters and pins of dead engines not removed", "error", err)
	}
	if len(gone.Attached) > 0 || len(gone.Pins) > 0 {
		h.log.Info("removed what dead engines had left", "filters", gone.Attached, "pins", gone.Pins)
	}
}

// releaseProcesses ends those of the engine before that this one has no service for.
func (h *Host) releaseProcesses() {
	var names []string
	for _, s := range h.list() {
		names = append(names, s.name)
	}
	services, err := h.before.Release(names)
	if err != nil {
		h.log.Warn("processes of the engine before not ended", "error", err)
	}
	if len(services) > 0 {
		h.log.Info("ended server processes that no service has any more", "services", services)
	}
}

// releasePorts gives up those of the engine before that nobody has claimed, when all have had
// the chance: all services are there, and each process has told its ports, or has ended.
func (h *Host) releasePorts() {
	h.mu.Lock()
	settled := h.settled
	h.mu.Unlock()
	if !settled || slices.ContainsFunc(h.list(), (*Service).isAdopting) {
		return
	}
	err := h.engine.ReleaseUnclaimed(func(n uint16) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.byPort[n] != nil
	})
	if err != nil {
		h.log.Warn("ports of the engine before not given up", "error", err)
	}
}
