package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// Service is a service of a [Host]: the process that is started for it, and the ports
// at which that serves. Its methods may be called concurrently.
type Service struct {
	host    *Host
	inherit Inherit
	log     hclog.Logger
	name    string
	journal *journal.Journal // nil: unmodified
	socket  string           // of config.ModeListen, for control.EnvPath
	stop    func() error     // ends the socket
	null    *os.File         // the process's standard input, if it has no other
	// recorder keeps what the next engine has to know of the process; nil: that
	// dies with this one.
	recorder   *supervisor.StateFile
	survivor   *supervisor.Survivor // the process of the engine before
	socketName string               // that it knows

	op        sync.Mutex // held by Restart, Stop, Start and Update, which exclude each other
	admitting sync.Mutex // held while ports become the service's, begin or end to be protected, or are given up

	mu       sync.Mutex // guards what follows
	cfg      config.Service
	pending  *config.Service // of the next start
	before   *config.Service // of the process before pending, to which the supervisor may fall back
	listen   []netip.AddrPort
	uid      int
	sup      *supervisor.Supervisor // of the present Run
	ports    map[uint16]*port
	outages  outages                   // the engine
	peers    map[uint64]int            // process of each control connection that is open
	asked    map[uint64]map[string]int // how often each of these has asked for any port of an address
	leaving  int                       // control connections that have ended, and the engine does not know it
	process  process
	refused  error     // why the present process may not have a port
	lost     error     // an *OwnershipError: another engine has the service
	watching *watching // of the present process
	begun    bool      // Run was called
	adopting bool      // the survivor's connections are not this engine's yet
	workers  workers

	toldPlain bool          // that the server does not call ftnet.Listen
	changed   chan struct{} // closed and replaced at each change that Await may wait for
}

func newService(h *Host, cfg config.Service, in Inherit) *Service {
	s := &Service{host: h, outages: h.engine, inherit: in, listen: cfg.Addresses(), name: cfg.Name, log: h.log.With("service", cfg.Name), cfg: cfg,
		ports: map[uint16]*port{}, peers: map[uint64]int{}, asked: map[uint64]map[string]int{}, changed: make(chan struct{})}
	s.process.log, s.workers.closed = s.log, procfs.HasClosed
	s.process.becomeStarting() // Run is to follow
	return s
}

// Name returns the service's name.
func (s *Service) Name() string { return s.name }

// Run starts the service and returns when it has ended for good: of itself, or
// after the end of ctx, which asks it to stop; its connections have drained
// then. The result is that of supervisor.Supervisor.Run. It may be called again
// when it has returned.
func (s *Service) Run(ctx context.Context) error {
	sup, err := s.begin()
	if err != nil {
		return err
	}
	err = sup.Run(ctx)
	s.mu.Lock()
	s.process.becomeDraining()
	s.notify()
	s.mu.Unlock()
	s.drain(ctx, err)
	s.mu.Lock()
	s.end(err)
	s.mu.Unlock()
	return err
}

// end notes that Run returns. s.mu is held.
func (s *Service) end(result error) {
	s.sup = nil
	s.process.becomeEnded(result)
	s.notify()
}

// isLost returns why the service is another engine's; nil: it is not.
func (s *Service) isLost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func (s *Service) begin() (*supervisor.Supervisor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sup != nil {
		return nil, errors.New("the service runs already")
	}
	if s.lost != nil {
		return nil, s.lost
	}
	if s.process.state != Running { // a survivor may have said so already
		s.process.becomeStarting()
	}
	cfg, err := s.supervisorConfig(&s.cfg)
	var sup *supervisor.Supervisor
	if err == nil {
		sup, err = supervisor.New(cfg, hooks{s})
	}
	if err != nil {
		s.process.becomeDraining() // nothing was started
		s.end(err)
		return nil, err
	}
	s.sup = sup
	if v := s.survivor; v != nil && !s.begun {
		sup.TakeOver(v)
		s.awaitResumption()
	}
	s.begun = true
	if s.process.state == Running {
		sup.Confirm()
	}
	s.notify()
	return sup, nil
}

// supervisorConfig completes a configuration. s.mu is held.
func (s *Service) supervisorConfig(c *config.Service) (supervisor.Config, error) {
	out := s.inherit.supervise(c, s.log.Named("supervisor"))
	out.Belongs = s.holdsPort
	if s.recorder != nil {
		out.Survive = s.recorder
	}
	if out.Stdin != nil {
		return out, nil
	}
	if s.null == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return out, err
		}
		s.null = null
	}
	out.Stdin = s.null
	return out, nil
}

// Await returns when the service serves and all connections that it had to
// recover are live, and how many those were; or why it does not come to that:
// it was stopped, has ended, or ctx has.
func (s *Service) Await(ctx context.Context) (connections int, err error) {
	for {
		s.mu.Lock()
		done, n, err := s.serving()
		changed := s.changed
		s.mu.Unlock()
		if done && err == nil && s.awaitReplay(ctx) {
			s.mu.Lock()
			done, n, err = s.serving()
			s.mu.Unlock()
		}
		if done {
			return n, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, s.notServing(ctx.Err())
		}
	}
}

// notServing is the error of an Await that has ended too early.
func (s *Service) notServing(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &NotServingError{Err: err}
	for n, p := range s.ports {
		if p.listening || !s.waitsFor(n, p) {
			continue
		}
		if at := cmp.Or(p.address, s.addressesOf(n)); at != "" {
			e.Missing = append(e.Missing, at)
		}
	}
	slices.Sort(e.Missing)
	return e
}

// replayPatience is how long Await waits after a restart for handlers to repeat what
// their predecessors have written. One that waits for something else than its client
// may take as long as it likes.
const replayPatience = 2 * time.Second

// awaitReplay waits, after Restart, until the recovered connections have repeated
// themselves: one that does it otherwise is found out then. It returns false if there
// is nothing to wait for. It looks at the journal now and then: that is memory which the server
// process writes, and to be told of a write (a futex, an eventfd) would cost the process a system
// call with each. This is asked after a Restart only.
func (s *Service) awaitReplay(ctx context.Context) bool {
	s.mu.Lock()
	restarted, j := s.process.lost != nil, s.journal
	s.mu.Unlock()
	if !restarted || j == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, replayPatience)
	defer cancel()
	done := func(slot uint32) bool {
		h, ok := j.Head(slot)
		return !ok || h.Recovered == 0 || h.Written >= h.Recorded
	}
	slots := j.Slots()
	for p := newPoll(); ; {
		if slots = slices.DeleteFunc(slots, done); len(slots) == 0 || !p.wait(ctx) {
			return true
		}
	}
}

// Errors of [Service.Await].
var (
	ErrStopped = errors.New("the service is stopped")
	ErrEnded   = errors.New("the service has ended")
)

// NotServingError is returned by [Service.Await] when its context has ended before the
// service served.
type NotServingError struct {
	Missing []string // addresses at which the server does not listen yet, as far as they are known
	Err     error    // of the context
}

func (e *NotServingError) Error() string {
	if len(e.Missing) == 0 {
		return e.Err.Error()
	}
	return "nobody listens at " + strings.Join(e.Missing, ", ") + ": " + e.Err.Error()
}

func (e *NotServingError) Unwrap() error { return e.Err }

// FellBackError is returned by [Service.Await] when the version that Restart started did
// not serve, and the previous version serves again.
type FellBackError struct{ Why error }

func (e *FellBackError) Error() string { return e.Why.Error() + "; the previous version serves again" }
func (e *FellBackError) Unwrap() error { return e.Why }

// Lost returns a *LostError if connections were reset since the last Restart, which
// should have been recovered. It is for when Await has returned; those on a port that the
// new configuration does not have any more are not among them.
func (s *Service) Lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.process.lost) == 0 {
		return nil
	}
	e := &LostError{Lost: len(s.process.lost)}
	for _, e.Reason = range s.process.lost {
	}
	return e
}

// LostError says that the service serves, but that not all connections could be
// recovered.
type LostError struct {
	Lost   int    // connections that got a RST
	Reason string // of one of them
}

func (e *LostError) Error() string {
	if e.Lost == 1 {
		return "1 connection could not be recovered and was reset: " + e.Reason
	}
	return fmt.Sprintf("%d connections could not be recovered and were reset, one of them: %s", e.Lost, e.Reason)
}

// serves reports whether a service serves though not all has gone well.
func serves(err error) bool { return err == nil || errors.As(err, new(*FellBackError)) }

// serving reports whether Await is over. s.mu is held.
func (s *Service) serving() (done bool, connections int, err error) {
	switch s.process.state {
	case Stopped:
		return true, 0, ErrStopped
	case Ended:
		if s.process.result != nil {
			return true, 0, fmt.Errorf("%w: %w", ErrEnded, s.process.result)
		}
		return true, 0, ErrEnded
	case Running:
	default:
		return false, 0, nil
	}
	if s.cfg.Ready.Probe != config.ProbeListening && !s.process.ready {
		return false, 0, nil
	}
	for n, p := range s.ports {
		if (!p.listening || !p.crashedAt.IsZero()) && s.waitsFor(n, p) {
			return false, 0, nil
		}
	}
	if s.process.fellBack != nil {
		return true, s.process.recovering, &FellBackError{Why: s.process.fellBack}
	}
	return true, s.process.recovering, nil
}
