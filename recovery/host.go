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
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/gate/kernel"
	"github.com/ftnet/ftnet/rawio/south"
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
	dir        *runtimedir.Dir
	store      logserver.Log
	complaints backend.Complaints // of store
	engine     *rawio.Engine
	home       home
	started    time.Time
	survive    bool            // processes outlive this engine, should it be killed
	adopted    bool            // there was an engine before, and processes of it live
	ctx        context.Context // of the engine
	cancel     context.CancelFunc
	starting   context.Context // ends what waits for the log, not later than ctx
	giveUp     context.CancelFunc
	closers    []func() error
	wg         sync.WaitGroup

	mu       sync.Mutex // guards what follows
	services []*Service // in the order of Add
	byPort   map[uint16]*Service
	north    int // sockets made
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
	if h.survive = h.lasts(); h.survive && err != nil {
		h.survive = false
		h.log.Info("server processes end with this engine, should it be killed: the next one could not adopt them", "reason", err)
	}
	if err := h.openDir(); err != nil {
		return err
	}
	h.onClose(func() error { return h.dir.Close() })
	h.evictRivals()
	if err := h.openLog(); err != nil {
		if h.adopted { // the next attempt may have more luck
			err = errors.Join(err, h.dir.Leave())
		}
		return err
	}
	if err := h.openEngine(); err != nil {
		return err
	}
	h.onClose(h.engine.Close)
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
	b, err := kernel.OpenBPFFS(h.cfg.BPFFS, runtimedir.BPFFS(h.cfg.RuntimeDir))
	if err != nil {
		return err
	}
	h.cfg.BPFFS = b.Path
	h.onClose(b.Close)
	return kernel.MayPin(b.Path)
}

// lasts reports whether the log does, so that processes may outlive the engine.
func (h *Host) lasts() bool {
	u, err := backend.Parse(h.cfg.Log.URL)
	return h.cfg.Store == nil && err == nil && u.Kind != backend.Memory && len(h.cfg.Services) > 0
}

// openDir takes the directory over of the engine whose successor this one is, if its
// processes live, or makes one.
func (h *Host) openDir() (err error) {
	if h.survive && h.cfg.Log.Recover {
		if h.dir, err = runtimedir.TakeOver(h.cfg.RuntimeDir, h.succeeds); err != nil {
			return err
		}
		h.adopted = h.dir != nil
	}
	if h.dir == nil {
		if h.dir, err = runtimedir.Create(h.cfg.RuntimeDir); err != nil {
			return err
		}
	}
	if h.survive {
		return h.writeNote()
	}
	return nil
}

// evictRivals ends processes of this engine's services that another dead engine has
// left, one with another log for instance, or to be forgotten: they hold the services'
// ports.
func (h *Host) evictRivals() {
	entries, err := runtimedir.List(h.cfg.RuntimeDir)
	for _, e := range entries {
		if e.Alive || e.ID == h.dir.ID {
			continue
		}
		ended, eerr := evict(e.Path, func(service string) bool { return !slices.Contains(h.cfg.Services, service) })
		err = errors.Join(err, eerr)
		if len(ended) > 0 {
			h.log.Warn("ended server processes of an engine that this one cannot go on for", "services", ended)
		}
	}
	if _, cerr := runtimedir.CleanStale(h.cfg.RuntimeDir, inhabited); err != nil || cerr != nil {
		h.log.Warn("what dead engines have left is not removed", "error", errors.Join(err, cerr))
	}
}

// openEngine opens the engine with the gate of the one before, or, if that cannot be
// had, anew: then its processes have to go, and the log has to do.
func (h *Host) openEngine() (err error) {
	rcfg := rawio.Config{
		ID: h.dir.ID, Log: h.store, Interfaces: h.cfg.Interfaces, MaxConns: h.cfg.MaxConnections,
		DeadAfter: h.cfg.Patience(), BPFFS: h.cfg.BPFFS, Mark: h.cfg.Mark, Adopt: h.adopted, Forget: !h.cfg.Log.Recover,
		Logger: h.log, Reports: h.report, Trace: h.cfg.Trace,
	}
	if h.cfg.Unmodified {
		rcfg.OutputBuffer = rawio.DefaultOutputBuffer
	}
	h.engine, err = rawio.Open(rcfg)
	if err == nil || !h.adopted {
		return err
	}
	h.log.Warn("the gate of the engine before is not adopted; its server processes are started again", "error", err)
	if _, err := evict(h.dir.Path, nil); err != nil {
		return err
	}
	old := h.dir
	if h.dir, err = runtimedir.Create(h.cfg.RuntimeDir); err != nil {
		h.dir = old
		return err
	}
	h.adopted = false
	if err := errors.Join(old.Close(), h.writeNote()); err != nil {
		return err
	}
	rcfg.ID, rcfg.Adopt = h.dir.ID, false
	h.engine, err = rawio.Open(rcfg)
	return err
}

// openLog opens what the configuration names. Each service has its own quota,
// which the engine sees to.
func (h *Host) openLog() (err error) {
	if h.store = h.cfg.Store; h.store != nil {
		return nil
	}
	log, options := h.log.Named("log"), h.cfg.Log.Options(h.cfg.Services)
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
	page, err := h.dir.Listen(runtimedir.StatusSocket)
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

// Dir returns the engine's runtime directory.
func (h *Host) Dir() string { return h.dir.Path }

// Listen makes a unix socket in the engine's runtime directory that only the
// engine's user may connect to. The caller closes it.
func (h *Host) Listen(name string) (*net.UnixListener, error) { return h.dir.Listen(name) }

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
func (h *Host) report(r south.Report) {
	h.mu.Lock()
	s := h.byPort[r.Port]
	h.mu.Unlock()
	if s != nil {
		s.report(r)
	}
}
