package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/logserver"
)

// Who decides that this engine serves a service at a port:
//
//	source       decides by     a claim is refused                    and lost
//	this host    the port       while another engine of the network   never: it goes with the
//	                            namespace has it (runtimedir.Ports)   process
//	the log      the service    never: the engine that claims last    when another engine has
//	                            has it (fence)                        claimed it (Fenced)
//
// A service is served by one engine as a whole: with the claim of one of its ports it loses all of
// them. What follows is drawn in package ownership.

// ownershipOf is that of an engine with a log.
func ownershipOf(log logserver.Log) ownership.Ownership {
	if f, ok := log.(logserver.Fencer); ok {
		return ownership.All(runtimedir.Ports{}, fence{f})
	}
	return runtimedir.Ports{}
}

// fence is the Ownership of a log that several engines may have. The claim is with the log: it
// makes it when it has reached its server, and that may be later.
type fence struct{ log logserver.Fencer }

func (f fence) Claim(_ context.Context, s ownership.Service) (ownership.Claim, error) {
	return fenced{s.Name, f.log.Fenced(s.Name)}, nil
}

// fenced is a claim of fence.
type fenced struct {
	service string
	lost    <-chan struct{}
}

func (fenced) Epoch() uint64           { return 0 }
func (c fenced) Lost() <-chan struct{} { return c.lost }
func (fenced) Release() error          { return nil } // the log has it until it is closed

func (c fenced) Err() error {
	select {
	case <-c.lost:
		return fmt.Errorf("%w %s: the log has fenced this one", ownership.ErrLost, c.service)
	default:
		return nil
	}
}

// OwnershipError is returned by Service.Run if another engine has taken over the service.
type OwnershipError struct{ Err error }

func (e *OwnershipError) Error() string { return e.Err.Error() }
func (e *OwnershipError) Unwrap() error { return e.Err }

// claim is that of a port, from which on it is watched until release.
type claim struct {
	ownership.Claim
	released chan struct{}
}

// claim takes a port for a service: from the engine's other services and from
// other engines.
func (h *Host) claim(s *Service, number uint16) (*claim, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.byPort[number]; other != nil {
		return nil, fmt.Errorf("port %d belongs to the service %q", number, other.Name())
	}
	c, err := h.ownership.Claim(h.ctx, ownership.Service{Name: s.name, Port: number})
	if taken := (*runtimedir.PortTakenError)(nil); errors.As(err, &taken) {
		engines, _ := runtimedir.List(h.cfg.RuntimeDir) // else the process has to do
		for _, e := range engines {
			if e.Alive && e.PID == taken.PID {
				taken.Engine = e.ID
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", number, err)
	}
	h.byPort[number] = s
	out := &claim{c, make(chan struct{})}
	if c.Lost() != nil {
		h.wg.Go(func() { s.watchClaim(out) })
	}
	return out, nil
}

// unclaim gives a port up, which nothing protects any more.
func (h *Host) unclaim(number uint16, c *claim) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byPort, number)
	close(c.released)
	return c.Release()
}

func (s *Service) watchClaim(c *claim) {
	select {
	case <-c.released:
	case <-s.host.ctx.Done():
	case <-c.Lost():
		s.cede(c)
	}
}

// cede ends what the engine does for the service, which is another one's: see package ownership
// for the order.
func (s *Service) cede(c *claim) {
	s.admitting.Lock() // no port begins to be protected meanwhile
	ports := s.portList(nil)
	s.mu.Lock()
	first := s.lost == nil
	if first {
		s.lost = &OwnershipError{c.Err()}
	}
	why := s.lost
	s.mu.Unlock()
	if !first {
		s.admitting.Unlock()
		return
	}
	connections := s.host.engine.Fence(ports...)
	s.mu.Lock()
	for _, n := range ports {
		p := s.ports[n]
		p.fenced = p.fenced || p.protected
		p.protected, p.listening, p.crashedAt = false, false, time.Time{}
	}
	s.notify()
	s.mu.Unlock()
	s.admitting.Unlock()
	s.log.Error("the service is another engine's: the gate holds its ports until it is removed here",
		"ports", ports, "connections", connections, "epoch", c.Epoch(), "reason", why)
	s.endProcess(s.host.ctx, why)
}
