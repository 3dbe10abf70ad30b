package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/south"
	"github.com/ftnet/ftnet/recovery/supervisor"
)

// pagesPerConn is the journal's address space for read lengths and output
// digests, in KiB for each connection slot. It is sparse: only what is used
// takes memory.
const pagesPerConn = 64

// service is one supervised command with its engine.
type service struct {
	cfg     Config
	log     hclog.Logger
	dir     *runtimedir.Dir
	store   *logserver.Memory
	journal *journal.Journal
	engine  *rawio.Engine
	closers []func() error
	started time.Time
	wg      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	ports   map[uint16]*port
	peers   map[uint64]int // process of each control connection that is open
	process process
	uid     int
	ended   bool // no restart will follow
}

// port is a protected port of the service.
type port struct {
	claim                     *runtimedir.Port
	network, address, compare string
	owner, listener           uint64 // the process that protects it, and its number of the listener
	listening                 bool
	crashedAt                 time.Time // zero while there is no outage
	outages, accepted         uint64
	recovered, mismatches     uint64
	refused                   uint64
	last, longest             time.Duration
}

// process is what is known of the supervised process.
type process struct {
	pid        int // that serves
	supervised int // that was started; 0 while there is none
	state      status.ProcessState
	since      time.Time
	restarts   uint64
	lastExit   string
}

func newService(cfg Config) *service {
	s := &service{cfg: cfg, log: cfg.Logger, ports: map[uint16]*port{}, peers: map[uint64]int{}, started: time.Now()}
	s.setProcess(status.ProcessStarting, 0)
	return s
}

// open makes the engine and everything around it.
func (s *service) open() (err error) {
	cfg := s.cfg
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.uid, err = supervisor.UID(cfg.User); err != nil {
		return err
	}
	if s.dir, err = runtimedir.Create(cfg.RuntimeDir); err != nil {
		return err
	}
	s.onClose(s.dir.Close)
	if s.store, err = logserver.NewMemory(&logserver.MemoryConfig{Quota: cfg.Quota, QuotaTotal: cfg.QuotaTotal}); err != nil {
		return err
	}
	s.onClose(s.store.Close)
	if s.journal, err = journal.Create(cfg.MaxConns, cfg.MaxConns*pagesPerConn); err != nil {
		return err
	}
	s.onClose(s.journal.Close)
	s.engine, err = rawio.Open(rawio.Config{
		ID: s.dir.ID, Log: s.store, Journal: s.journal, Interfaces: cfg.Interfaces,
		MaxConns: cfg.MaxConns, Quota: cfg.Quota, OnFull: cfg.OnFull.core(),
		Logger: s.log, Reports: s.report, Trace: cfg.Trace,
	})
	if err != nil {
		return err
	}
	s.onClose(s.engine.Close)
	return s.serve()
}

// serve opens the two sockets: the server process's and the status page's.
func (s *service) serve() error {
	ln, err := s.dir.Listen(runtimedir.NorthSocket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.onClose(func() error { cancel(); return nil })
	page, err := s.dir.Listen(runtimedir.StatusSocket)
	if err != nil {
		return err
	}
	s.onClose(page.Close)
	server := &control.Server{Handler: north{s}, Allow: control.AllowUID(uint32(s.uid))}
	s.wg.Go(func() {
		if err := server.Serve(ctx, ln); err != nil {
			s.log.Error("server processes can no longer connect", "error", err)
		}
	})
	s.wg.Go(func() {
		if err := status.Serve(page, s.document); err != nil {
			s.log.Error("the status page has ended", "error", err)
		}
	})
	return nil
}

func (s *service) onClose(f func() error) { s.closers = append(s.closers, f) }

// close undoes open, last things first.
func (s *service) close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	s.closers = nil
	s.wg.Wait()
	for _, p := range s.ports { // nobody else is left to change it
		errs = append(errs, p.claim.Close())
	}
	return errors.Join(errs...)
}

// portList returns the protected ports.
func (s *service) portList() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]uint16, 0, len(s.ports))
	for p := range s.ports {
		list = append(list, p)
	}
	slices.SortFunc(list, cmp.Compare)
	return list
}

// crash declares the outage of the ports that are not in one yet.
func (s *service) crash(ports []uint16) {
	var down []uint16
	s.mu.Lock()
	for _, n := range ports {
		p := s.ports[n]
		p.listening = false
		if p.crashedAt.IsZero() {
			p.crashedAt = time.Now()
			p.outages++
		}
		down = append(down, n)
	}
	s.mu.Unlock()
	if len(down) > 0 {
		s.engine.Crash(down...)
	}
}

// drain lets the clients of a service that has ended go: those of a process
// that ended as it should get what the kernel still holds for them; those of
// one that is given up get a RST.
func (s *service) drain(ctx context.Context, result error) {
	ports := s.portList()
	if len(ports) == 0 {
		return
	}
	abort := func(why string) {
		for _, p := range ports {
			s.engine.AbortAll(p, why)
		}
	}
	var gaveUp *supervisor.GaveUpError
	given := errors.As(result, &gaveUp)
	if given {
		abort("the server is given up: " + gaveUp.Error())
	} else { // again, if a process has ended as it should; else none is left to come back
		s.release(ports)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Drain)
	defer cancel()
	// After a RST the time is there for clients that have missed it.
	if err := s.engine.Drain(ctx, ports...); err != nil && !given {
		s.log.Warn("connections were still open when the time to drain was over", "error", err)
		abort(fmt.Sprintf("still open %v after the server had ended", s.cfg.Drain))
	}
}

// release lets the connections of ports go that no process will serve again:
// what the kernel still has to say goes out, the interrupted get a RST.
func (s *service) release(ports []uint16) {
	for _, p := range ports {
		s.engine.Release(p)
	}
}

func (s *service) setProcess(state status.ProcessState, pid int) {
	s.process.state, s.process.pid, s.process.since = state, pid, time.Now()
}

// report counts what the core tells. The engine's lock is held.
func (s *service) report(r south.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[r.Port]
	if p == nil {
		return
	}
	switch r.Kind {
	case south.ConnOpened:
		p.accepted++
	case south.ConnRecovered:
		p.recovered++
	case south.SYNRefused:
		p.refused++
	case south.ServiceRecovered:
		if !p.crashedAt.IsZero() {
			p.last = time.Since(p.crashedAt)
			p.longest = max(p.longest, p.last)
			p.crashedAt = time.Time{}
		}
	}
}
