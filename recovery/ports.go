package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// port is a port that belongs to the service.
type port struct {
	claim                 *claim
	network, address      string
	compare               policy.Compare
	owner, listener       uint64 // config.ModeListen: the process that protects it, and its number of the listener
	asked                 string // what that has asked for, if it was any port
	ambiguous             bool   // it has asked for it more than once
	left                  bool   // it has closed the listener
	abandoned             bool   // the process does not listen there again: it serves without it
	expiring              bool   // its clients are being told that nobody listens there again
	protected             bool
	fenced                bool // another engine has it: nothing passes, see cede
	listening             bool
	crashedAt             time.Time // zero while there is no outage
	outages, accepted     uint64
	recovered, mismatches uint64
	refused               uint64
	unprotected           map[string]uint64 // connections, by Report.Why; nil: none
	last, longest         time.Duration
}

// PortError is returned by Service.Run if the server has ended because it may not have a
// port, as when another engine protects it: it would be told the same again.
type PortError struct{ Err error }

func (e *PortError) Error() string { return "it may not have its port: " + e.Err.Error() }

func (e *PortError) Unwrap() error { return e.Err }

// portsOf returns the ports of addresses, each once, in order.
func portsOf(list []netip.AddrPort) []uint16 {
	var out []uint16
	for _, a := range list {
		out = append(out, a.Port())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// claimListen claims the ports of addresses that the service does not have yet,
// all or none, and returns them.
func (s *Service) claimListen(list []netip.AddrPort) (fresh []uint16, err error) {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	for _, n := range portsOf(list) {
		if s.owns(n) {
			continue
		}
		claim, err := s.host.claim(s, n)
		if err != nil {
			return nil, errors.Join(err, s.giveUp(fresh...))
		}
		fresh = append(fresh, n)
		p := &port{claim: claim, network: "tcp", compare: s.cfg.Compare}
		s.mu.Lock()
		s.ports[n] = p
		s.mu.Unlock()
	}
	return fresh, nil
}

// giveUp ends the protection of ports and their claims. Their connections must
// have ended; one that is not the service's any more is passed over. s.admitting is held.
func (s *Service) giveUp(list ...uint16) error {
	s.unprotect(list)
	var errs []error
	for _, n := range list {
		s.mu.Lock()
		p := s.ports[n]
		delete(s.ports, n)
		s.notify()
		s.mu.Unlock()
		if p != nil {
			errs = append(errs, s.host.unclaim(n, p.claim))
		}
	}
	return errors.Join(errs...)
}

// owns reports whether a port is the service's. It may be called with the
// engine's lock held.
func (s *Service) owns(n uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[n] != nil
}

// portList returns the ports that ok selects, in order; nil selects all.
func (s *Service) portList(ok func(uint16, *port) bool) []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []uint16
	for n, p := range s.ports {
		if ok == nil || ok(n, p) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, cmp.Compare)
	return list
}

func protected(_ uint16, p *port) bool { return p.protected }

// protectAll begins the protection of all ports.
func (s *Service) protectAll() error {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	return s.protect(s.portList(nil))
}

// protectAgain tells the engine how the ports that are protected are to be from now on. One
// that is given up meanwhile must not be protected again: nobody would ever end that.
func (s *Service) protectAgain() error {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	var errs []error
	for _, n := range s.portList(protected) {
		errs = append(errs, s.protect([]uint16{n}))
	}
	return errors.Join(errs...)
}

// protect begins the protection of ports. The engine forgets none of them by it.
// s.admitting is held.
func (s *Service) protect(list []uint16) error {
	if err := s.isLost(); err != nil {
		return err
	}
	for _, n := range list {
		s.mu.Lock()
		how := s.policy(n)
		s.mu.Unlock()
		if err := s.host.engine.Protect(how); err != nil {
			return err
		}
		s.mu.Lock()
		s.ports[n].protected = true
		s.mu.Unlock()
	}
	return nil
}

// unprotect lets the kernel alone answer for ports from now on. s.admitting is held.
func (s *Service) unprotect(list []uint16) {
	for _, n := range list {
		s.mu.Lock()
		p := s.ports[n]
		was := p != nil && (p.protected || p.fenced)
		if p != nil {
			p.protected, p.fenced, p.listening, p.crashedAt = false, false, false, time.Time{}
		}
		s.mu.Unlock()
		if !was {
			continue
		}
		if err := s.host.engine.Unprotect(n); err != nil {
			s.log.Warn("port not removed from the gate", "port", n, "error", err)
		}
	}
}

// outage declares the outage of ports, and tells the engine of those that are
// protected by declare. It is died's.
func (s *Service) outage(ports []uint16, declare func(...uint16)) {
	var down []uint16
	s.mu.Lock()
	for _, n := range ports {
		p := s.ports[n]
		if p == nil || !p.protected {
			continue
		}
		p.listening = false
		p.abandoned = false // the next process is to show it
		if p.crashedAt.IsZero() {
			p.crashedAt = time.Now()
			p.outages++
		}
		down = append(down, n)
	}
	if len(down) > 0 { // else it is late news of a process whose ports another has by now
		s.process.recovering = 0
	}
	s.notify()
	s.mu.Unlock()
	if len(down) > 0 {
		declare(down...)
	}
}

// release lets the connections of ports go that no process will serve again:
// what the kernel still has to say goes out, the interrupted get a RST.
func (s *Service) release(ports []uint16) {
	for _, p := range ports {
		s.outages.Release(p)
	}
}

// drain lets the clients of a service that has ended go: those of a process
// that ended as it should get what the kernel still holds for them; those of
// one that is given up get a RST. Then the ports are no longer protected.
func (s *Service) drain(ctx context.Context, result error) {
	ports := s.portList(protected)
	if len(ports) == 0 {
		return
	}
	s.mu.Lock()
	limit := s.cfg.Drain
	s.mu.Unlock()
	var gaveUp *supervisor.GaveUpError
	given := errors.As(result, &gaveUp)
	if given {
		s.abort(ports, "the server is given up: "+gaveUp.Error())
	} else { // again, if a process has ended as it should; else none is left to come back
		s.release(ports)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	// After a RST the time is there for clients that have missed it.
	if err := s.host.engine.Drain(ctx, ports...); err != nil && !given {
		s.log.Warn("connections still open after the drain time", "error", err)
		s.abort(ports, fmt.Sprintf("still open %v after the server had ended", limit))
	}
	s.admitting.Lock()
	defer s.admitting.Unlock()
	s.unprotect(s.portList(protected))
}

func (s *Service) abort(ports []uint16, why string) {
	for _, n := range ports {
		s.host.engine.AbortAll(n, why)
	}
}

// close undoes open and all that has come since.
func (s *Service) close() error {
	var errs []error
	if s.stop != nil {
		errs = append(errs, s.stop())
	}
	s.admitting.Lock()
	s.mu.Lock()
	list := slices.Collect(maps.Keys(s.ports))
	s.mu.Unlock()
	errs = append(errs, s.giveUp(list...))
	s.admitting.Unlock()
	s.mu.Lock()
	j := s.journal
	s.journal = nil // the status may be asked for at any time
	s.mu.Unlock()
	if j != nil {
		errs = append(errs, j.Close())
	}
	if s.null != nil {
		errs = append(errs, s.null.Close())
	}
	if v := s.survivor; v != nil && !s.begun { // nobody attends to it
		_, err := supervisor.End(v.State())
		errs = append(errs, err, v.Release(), s.recorder.Forget())
	}
	return errors.Join(errs...)
}
