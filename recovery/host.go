package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/caps"
	"github.com/ftnet/ftnet/internal/oom"
	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// Host is an engine with the services of this machine: one gate, one tap, one
// log, and a journal for each service that has one. Its methods may be called
// concurrently.
//
// Locks are taken in this order: Service.admitting, the engine's own, Host.mu,
// Service.mu. So the engine is never called with one of the latter two held.
type Host struct {
	cfg        HostConfig
	log        hclog.Logger
	store      logserver.Log
	complaints backend.Complaints // of store
	ownership  ownership.Ownership
	engine     engine
	home       home
	started    time.Time
	before     *predecessor.Predecessor // and this engine's directory
	ctx        context.Context          // of the engine
	cancel     context.CancelFunc
	starting   context.Context // ends what waits for the log, not later than ctx
	giveUp     context.CancelFunc
	closers    []func() error
	wg         sync.WaitGroup

	mu       sync.Mutex // guards what follows
	services []*Service // in the order of Add
	byPort   map[uint16]*Service
	north    int  // sockets made
	settled  bool // Settled was called
}

// OpenHost opens an engine and its log, without services. Call Settled when those
// are added that an engine that was killed may have served. While a host is open, this
// process adopts what its services' processes leave behind, so that every other
// child has to be started with supervisor.Exec (see supervisor.Adopt).
func OpenHost(cfg HostConfig) (*Host, error) {
	cfg = cfg.complete()
	h := &Host{cfg: cfg, log: cfg.Logger, started: time.Now(), byPort: map[uint16]*Service{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.starting, h.giveUp = context.WithCancel(h.ctx)
	if err := h.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the engine: %w", err), h.Close())
	}
	return h, nil
}

func (h *Host) open() error {
	err := mayOpen()
	if err != nil {
		return err
	}
	if h.home, err = here(); err != nil {
		return err
	}
	release, err := supervisor.Adopt()
	if err != nil {
		return err
	}
	h.onClose(func() error { release(); return nil })
	h.spare()
	err = h.openBPFFS()
	lasts := h.lasts()
	if lasts && err != nil {
		lasts = false
		h.log.Info("server processes end with this engine, should it be killed: the next one could not adopt them", "reason", err)
	}
	h.before, err = predecessor.Find(predecessor.Config{
		RuntimeDir: h.cfg.RuntimeDir, Engine: predecessor.Engine{Log: h.cfg.Log.URL, Services: h.cfg.names()},
		Recover: h.cfg.Log.Recover, Lasts: lasts, Logger: h.log,
	})
	if err != nil {
		return err
	}
	h.onClose(h.before.Close)
	if err := h.openLog(); err != nil {
		return errors.Join(err, h.before.Leave()) // the next attempt may have more luck
	}
	h.ownership = ownershipOf(h.store)
	if err := h.openEngine(); err != nil {
		return err
	}
	h.wg.Go(h.watchPorts)
	return h.servePage()
}

// mayOpen says what to do where no engine can be opened, before anything is made.
func mayOpen() error {
	needed := []caps.Cap{caps.NetAdmin, caps.NetRaw, caps.BPF, caps.Perfmon}
	if len(caps.Missing(needed...)) == 0 {
		return nil
	}
	return fmt.Errorf("it needs raw sockets and BPF: %s: %w", caps.Advice(needed...), fs.ErrPermission)
}

// spare has the OOM killer take something else first.
func (h *Host) spare() {
	restore, err := oom.Lower()
	if errors.Is(err, fs.ErrPermission) {
		return // that takes CAP_SYS_RESOURCE, which the engine does without
	} else if err != nil {
		h.log.Debug("the OOM killer may take the engine first", "error", err)
		return
	}
	h.onClose(func() error { restore(); return nil })
}

// openBPFFS finds the place for the gate's pins, or makes it. The error says why this gate
// cannot be pinned, and so why the next engine, which has the same privileges, cannot take
// it over.
func (h *Host) openBPFFS() error {
	path, release, err := pinsAt(h.cfg.RuntimeDir, h.cfg.BPFFS).Open()
	h.cfg.BPFFS = path
	h.onClose(release)
	return err
}

// lasts reports whether the log does, so that processes may outlive the engine.
func (h *Host) lasts() bool {
	u, err := backend.Parse(h.cfg.Log.URL)
	return h.cfg.Store == nil && err == nil && u.Kind != backend.Memory && len(h.cfg.Services) > 0
}

// openEngine opens the engine with the gate of the one before, or, if that cannot be
// had, anew: then its processes have to go, and the log has to do.
func (h *Host) openEngine() error {
	rcfg := rawio.Config{
		Log: h.store, Interfaces: h.cfg.Interfaces, MaxConns: h.cfg.MaxConnections,
		DeadAfter: h.cfg.Patience(), BPFFS: h.cfg.BPFFS, Mark: h.cfg.Mark, Forget: !h.cfg.Log.Recover,
		Logger: h.log, Reports: h.report, Trace: h.cfg.Trace,
	}
	if h.cfg.Unmodified {
		rcfg.OutputBuffer = rawio.DefaultOutputBuffer
	}
	open := func() error {
		rcfg.ID, rcfg.Epoch, rcfg.Adopt, rcfg.Heirs = h.before.Dir.ID, h.before.Dir.Epoch, h.before.Found, h.heirs()
		e, err := rawio.Open(rcfg)
		if err == nil {
			h.engine = e
			h.onClose(e.Close)
		}
		return err
	}
	err := open()
	if err == nil || !h.before.Found {
		return err
	}
	h.log.Warn("the gate of the engine before is not adopted; its server processes are started again", "error", err)
	if err := h.before.Refuse(); err != nil {
		return err
	}
	return open()
}

// heirs are the services whose server process is gone: of their connections only the log knows.
// A port of another engine is not held.
func (h *Host) heirs() (list []rawio.Heir) {
	for i := range h.cfg.Services {
		c := &h.cfg.Services[i]
		if unmodified := c.Mode == config.ModeUnmodified; !h.before.Adoptable(c.Name, unmodified) {
			ports := slices.DeleteFunc(portsOf(c.Addresses()), runtimedir.PortTaken)
			list = append(list, rawio.Heir{Service: c.Name, Ports: ports, Unmodified: unmodified})
		}
	}
	return list
}

// openLog opens what the configuration names. Each service has its own quota,
// which the engine sees to.
func (h *Host) openLog() (err error) {
	if h.store = h.cfg.Store; h.store != nil {
		return nil
	}
	log, options := h.log.Named("log"), h.cfg.Log.Options(h.cfg.names())
	options.Warn, options.Info = h.complaints.Warn(log.Warn), log.Info
	if h.store, err = backend.Open(h.cfg.Log.URL, options); err != nil {
		return err
	}
	h.onClose(func() error {
		h.store.SetStatusUpcall(func(logserver.Status) {}) // its end is no news
		return h.store.Close()
	})
	return nil
}

func (h *Host) servePage() error {
	page, err := h.before.Dir.Listen(runtimedir.StatusSocket)
	if err != nil {
		return err
	}
	h.onClose(page.Close)
	h.wg.Go(func() {
		if err := status.Serve(page, h.Document); err != nil {
			h.log.Error("the status page has ended", "error", err)
		}
	})
	return nil
}

func (h *Host) onClose(f func() error) { h.closers = append(h.closers, f) }

// Close ends the engine and removes all that it has made. The services must
// have ended; they need not have been removed.
func (h *Host) Close() error {
	h.cancel()
	var errs []error
	for _, s := range h.list() {
		errs = append(errs, s.Remove())
	}
	for _, f := range slices.Backward(h.closers) {
		errs = append(errs, f())
	}
	h.closers = nil
	h.wg.Wait()
	return errors.Join(errs...)
}

// OutputDir is where the pipes belong that a service writes to, so that they outlive
// the engine as its process does; empty if it does not.
func (h *Host) OutputDir(service string) string {
	if !h.before.Lasts {
		return ""
	}
	return predecessor.OutputPath(h.Dir(), service)
}

// Dir returns the engine's runtime directory.
func (h *Host) Dir() string { return h.before.Dir.Path }

// Listen makes a unix socket in the engine's runtime directory that only the
// engine's user may connect to. The caller closes it.
func (h *Host) Listen(name string) (*net.UnixListener, error) { return h.before.Dir.Listen(name) }

// Works returns nil if the engine does its work, else why not. It blocks if the
// engine does.
func (h *Host) Works() error {
	if err := h.engine.Err(); err != nil {
		return err
	}
	_, err := h.engine.Snapshot(false)
	return err
}

// list returns the services.
func (h *Host) list() []*Service {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.services)
}

// report counts what the core tells. The engine's lock is held.
func (h *Host) report(r rawio.Report) {
	h.mu.Lock()
	s := h.byPort[r.Port]
	h.mu.Unlock()
	if s != nil {
		s.report(r)
	}
}
