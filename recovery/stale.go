package recovery

import (
	"context"
	"slices"
	"time"

	"github.com/ftnet/ftnet/recovery/config"
)

// Ports of a server that calls ftnet.Listen, where nobody listens any more:
//
//	           closed                    its last connection has ended
//	listening ────────► left ────────────────────────────────────────► given up
//	    │                 │ crash                                        ▲
//	    │ crash           ▼                                              │
//	    └────────────► outage ───────────────────────────────────────────┘
//	              the next process serves, but not here, for some time:
//	              the clients get a RST

// relisten is for how long clients wait for a listener that does not come back although
// the server does.
type relisten struct {
	period  time.Duration // of the looks
	anyPort time.Duration // from the crash on, where the server had asked for any port
	quiet   time.Duration // and from the last listener on that came back
	fixed   time.Duration // likewise, where it had asked for this port
}

func (r *relisten) withDefault() {
	if *r == (relisten{}) {
		*r = defaultRelisten
	}
}

var defaultRelisten = relisten{period: time.Second, anyPort: 30 * time.Second, quiet: 5 * time.Second, fixed: 5 * time.Minute}

const whyNobody = "nobody listens at its port again"

// watchPorts gives ports up until the host is closed.
func (h *Host) watchPorts() {
	t := time.NewTicker(h.cfg.relisten.period)
	defer t.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
		}
		for _, s := range h.list() {
			s.findAbandoned()
			s.giveUpEmpty()
			s.giveUpStale()
		}
	}
}

// giveUpEmpty gives up ports whose listener the server has closed, or never bound, when
// they have no connection any more.
func (s *Service) giveUpEmpty() {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	list := s.portList(func(n uint16, p *port) bool {
		idle := p.crashedAt.IsZero() && (p.owner == 0 || p.abandoned) // abandoned: since the stop of the process before
		return !p.listening && !p.expiring && !p.fenced && (p.left || idle) && s.mayLose(n)
	})
	list = slices.DeleteFunc(list, s.host.engine.Serves)
	if err := s.giveUp(list...); err != nil {
		s.log.Warn("port not given up", "error", err)
	}
}

// waitsFor reports whether the service is not ready before its process listens on a port:
// one that is configured, that the process has asked for, or whose clients wait for it. The
// process may have no use for the last: then the service is ready without. s.mu is held.
func (s *Service) waitsFor(n uint16, p *port) bool {
	switch configured := slices.Contains(portsOf(s.listen), n); {
	case p.left, len(s.listen) > 0 && !configured: // the clients of the latter have been told
		return false
	case configured:
		return true
	}
	_, lives := s.peers[p.owner]
	return !p.abandoned && !p.expiring && (p.protected || lives)
}

// findAbandoned finds the ports to which a process that serves has not come back, in the time in
// which its listeners come one after another. Their clients wait on.
func (s *Service) findAbandoned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adopting || time.Since(s.process.listenedAt) < s.host.cfg.relisten.quiet {
		return
	}
	var list []uint16
	for n, p := range s.ports {
		if _, lives := s.peers[p.owner]; !p.listening && !p.left && !p.abandoned && !p.expiring && !lives && s.mayLose(n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 || !s.goesOn() {
		return
	}
	for _, n := range list {
		p := s.ports[n]
		p.abandoned = true
		if p.protected {
			s.log.Warn("the server does not listen at a port any more; its clients wait for a while", "port", n, "address", p.address)
		}
		s.notify()
	}
}

// mayLose reports whether a port is the service's only because its server listened
// there. s.mu is held.
func (s *Service) mayLose(n uint16) bool {
	return s.cfg.Mode != config.ModeUnmodified && !slices.Contains(portsOf(s.listen), n)
}

// stale reports whether the clients of a port have waited long enough. s.mu is held.
func (s *Service) stale(n uint16, p *port) bool {
	if p.listening || p.expiring || p.crashedAt.IsZero() || !s.mayLose(n) {
		return false
	}
	if _, lives := s.peers[p.owner]; lives && !p.left { // it is about to listen
		return false
	}
	crash, listener := time.Since(p.crashedAt), time.Since(s.process.listenedAt)
	long := min(crash, listener) >= s.host.cfg.relisten.fixed
	if p.asked != "" || p.left {
		long = crash >= s.host.cfg.relisten.anyPort && listener >= s.host.cfg.relisten.quiet
	}
	return long && s.goesOn()
}

// goesOn reports whether a process serves: only then does it mean something that nobody listens
// at a port. The state alone does not tell. It changes when the supervisor is done with a process,
// which may be long after the outage of its ports has begun; and it does not change if the process
// that served is not the supervised one, but was started by that. s.mu is held.
func (s *Service) goesOn() bool {
	if s.process.state != Running || s.unreported() || slices.ContainsFunc(s.processes(), ends) {
		return false
	}
	if !ends(s.process.pid) {
		return true
	}
	for _, p := range s.ports { // is there another one?
		if p.listening {
			return true
		}
	}
	return false
}

// giveUpStale has the clients of stale ports get a RST, and gives the ports up.
func (s *Service) giveUpStale() {
	s.admitting.Lock()
	list := s.portList(s.stale)
	s.mu.Lock()
	for _, n := range list {
		p := s.ports[n]
		p.expiring = true
		s.log.Warn("nobody listens at a port again: its clients get a RST", "port", n, "address", p.address, "waited", time.Since(p.crashedAt))
	}
	limit := s.cfg.Drain
	s.mu.Unlock()
	s.abort(list, whyNobody)
	s.admitting.Unlock()
	if len(list) == 0 {
		return
	}
	s.host.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.host.ctx, limit)
		defer cancel()
		_ = s.host.engine.Drain(ctx, list...) // what is left is the kernel's alone
		s.admitting.Lock()
		defer s.admitting.Unlock()
		s.mu.Lock()
		gone := slices.DeleteFunc(list, func(n uint16) bool { return s.ports[n] == nil || !s.ports[n].expiring || s.ports[n].listening })
		s.mu.Unlock()
		if err := s.giveUp(gone...); err != nil {
			s.log.Warn("port not given up", "error", err)
		}
	})
}
