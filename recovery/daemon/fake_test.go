package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// fakeHost is a host without an engine. It writes down what is asked of it.
type fakeHost struct {
	dir string

	mu       sync.Mutex
	services map[string]*fakeService
	calls    []string
	refuse   map[string]error // add and restart of these fail
	slow     bool             // new services do not listen by themselves
	linger   bool             // new services linger
	fragile  bool             // services end when they are stopped
	awaited  error            // what Await says of a service that listens
	closed   bool

	waiting chan struct{} // add waits for the log, if not nil, and fills it
	gaveUp  chan struct{} // closed by GiveUp
	told    bool          // Settled was called
}

func newFakeHost(t *testing.T) *fakeHost {
	return &fakeHost{dir: t.TempDir(), gaveUp: make(chan struct{}), services: map[string]*fakeService{}, refuse: map[string]error{}}
}

func (h *fakeHost) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
}

// take returns the calls since it was called last.
func (h *fakeHost) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

func (h *fakeHost) service(name string) *fakeService {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.services[name]
}

func (h *fakeHost) refuses(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refuse[name]
}

func (h *fakeHost) add(c config.Service, in recovery.Inherit) (service, error) {
	h.note("add %s", c.Name)
	if err := h.refuses(c.Name); err != nil {
		return nil, err
	}
	if h.waiting != nil {
		h.waiting <- struct{}{}
		<-h.gaveUp
		return nil, fmt.Errorf("no log: %w", context.Canceled)
	}
	s := &fakeService{host: h, lingers: h.linger, name: c.Name, stdout: in.Stdout, changed: make(chan struct{}), die: make(chan error, 1), ended: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.listens = !h.slow
	if h.services[c.Name] != nil {
		return nil, errors.New("its port is taken")
	}
	h.services[c.Name] = s
	return s, nil
}

func (h *fakeHost) Listen(name string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(h.dir, name), Net: "unix"})
}

func (h *fakeHost) OutputDir(string) string { return "" }

func (h *fakeHost) Settled()     { h.told = true }
func (h *fakeHost) GiveUp()      { close(h.gaveUp) }
func (h *fakeHost) Works() error { return nil }

func (h *fakeHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if len(h.services) > 0 {
		return fmt.Errorf("closed with %d services", len(h.services))
	}
	return nil
}

// fakeService is a service without a process.
type fakeService struct {
	host   *fakeHost
	name   string
	stdout *os.File
	die    chan error // what comes in ends run

	lingers bool          // run returns only when it must
	ended   chan struct{} // closed when it does

	mu      sync.Mutex
	running bool
	listens bool
	halted  bool
	over    bool
	served  bool
	result  error
	changed chan struct{}
}

func (s *fakeService) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.served = s.served || s.running && s.listens && !s.halted
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeService) Run(ctx context.Context) error {
	s.host.note("run %s", s.name)
	fmt.Fprintf(s.stdout, "%s says hello\n", s.name)
	s.change(func() { s.running = true })
	var err error
	select {
	case <-ctx.Done():
		err = &supervisor.ExitError{Exit: supervisor.Exit{Signal: syscall.SIGTERM}}
	case err = <-s.die:
	}
	if s.lingers { // as a service that drains
		<-ctx.Done()
	}
	s.change(func() { s.over, s.result = true, err })
	close(s.ended)
	return err
}

func (s *fakeService) Await(ctx context.Context) (int, error) {
	for {
		s.mu.Lock()
		listens, gone, changed := s.listens && s.running, s.over || s.halted, s.changed
		s.mu.Unlock()
		switch {
		case gone:
			return 0, errors.New("it does not run")
		case listens:
			s.host.mu.Lock()
			defer s.host.mu.Unlock()
			return 3, s.host.awaited
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *fakeService) Restart(c *config.Service) error {
	s.host.note("restart %s %t", s.name, c != nil)
	return s.host.refuses(s.name)
}

func (s *fakeService) Stop(ctx context.Context) error {
	s.host.note("stop %s", s.name)
	if ctx.Err() != nil { // the stop goes on
		return ctx.Err()
	}
	if s.host.fragile { // it ends of itself in the same moment
		s.die <- nil
		<-s.ended
		return nil
	}
	s.change(func() { s.halted = true })
	return nil
}

func (s *fakeService) Start() error {
	s.host.note("start %s", s.name)
	s.change(func() { s.halted, s.served = false, false })
	return nil
}

func (s *fakeService) Update(config.Service) error {
	s.host.note("update %s", s.name)
	return nil
}

func (s *fakeService) Standing() (now recovery.Standing, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		now.State, now.Err = recovery.Ended, s.result
	case s.halted:
		now.State = recovery.Stopped
	case s.served:
		now.State = recovery.Running
	default:
		now.State = recovery.Starting
	}
	now.Served = s.served
	return now, s.changed
}

func (s *fakeService) Lost() error { return nil }

func (s *fakeService) Remove() error {
	s.host.note("remove %s", s.name)
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	delete(s.host.services, s.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		return errors.New("removed while it runs")
	}
	return nil
}
