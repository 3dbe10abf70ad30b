package logdaemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/oom"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/sdnotify"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery/config"
)

// Options of [Run]. Only Config is required.
type Options struct {
	Config *config.Logd
	// Signals are SIGTERM and SIGINT, which end the log server, and SIGHUP, which
	// looks at the certificates. The caller subscribes early, so that none is lost.
	Signals <-chan os.Signal
	Logger  hclog.Logger // default: nothing is logged
}

// server is what talks to the engines: a *logd.Server, or that of a test.
type server interface {
	// Serve accepts engines until Close.
	Serve(l net.Listener) error
	// Close ends all sessions and all calls of Serve. The store stays open.
	Close() error
	// expire forgets the connections that were not modified for so long and that no
	// engine has written meanwhile, and returns how many those were.
	expire(after time.Duration) int
	// sessions tells of the engines, and what was counted.
	sessions() (list []status.LogSession, counted counters)
}

// counters of a server since its start.
type counters struct{ accepted, refused, fenced uint64 }

// daemon is a log server that runs.
type daemon struct {
	cfg        *config.Logd
	log        hclog.Logger
	notify     *notify.Notifier
	dir        *runtimedir.Dir
	store      *meter
	complaints backend.Complaints // of store
	server     server
	listeners  []net.Listener
	started    time.Time
	wg         sync.WaitGroup
	closers    []func() error
	changed    chan struct{} // has room for one; filled when the store's status has changed
	failed     chan error    // a listener's end that nobody asked for
}

// Run runs a log server until ctx ends or a signal asks for the end. However it
// ends, what engines were told to be stable is.
func Run(ctx context.Context, o Options) error { return run(ctx, o, openServer) }

// opener makes the server of a store.
type opener func(d *daemon) (server, error)

func run(ctx context.Context, o Options, open opener) error {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	d := &daemon{cfg: o.Config, log: o.Logger, started: time.Now(), changed: make(chan struct{}, 1), failed: make(chan error, 1)}
	err := d.open(open)
	if err == nil {
		d.log.Info("ready", "listen", d.addresses(), "store", d.cfg.Store, "connections", d.store.NumActive())
		d.tell(d.notify.Ready(d.summary()))
		err = d.attend(ctx, o.Signals)
		d.log.Info("stopping")
		d.tell(d.notify.Stopping("stopping"))
	}
	return errors.Join(err, d.close())
}

// open opens everything, what can fail cheaply first: a store may take a while.
func (d *daemon) open(open opener) (err error) {
	if d.notify, err = notify.Open(os.Getenv); err != nil {
		return err
	}
	d.onClose(d.notify.Close)
	if restore, err := oom.Lower(); err == nil { // else the kernel may take it first
		d.onClose(func() error { restore(); return nil })
	}
	if err := d.cfg.TLS.Check(certs.KindServer); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	d.lookAtCertificate()
	for _, address := range d.cfg.Listen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		d.onClose(func() error { return ignoreClosed(l.Close()) })
		d.listeners = append(d.listeners, l)
	}
	if d.dir, err = runtimedir.Create(d.cfg.RuntimeDir); err != nil {
		return err
	}
	d.onClose(d.dir.Close)
	log := d.log.Named("store")
	store, err := backend.Open(d.cfg.Store, backend.Options{
		QuotaTotal: d.cfg.QuotaTotal, KeyFile: d.cfg.KeyFile, Warn: d.complaints.Warn(log.Warn), Info: log.Info,
	})
	if err != nil {
		return err
	}
	d.onClose(store.Close)
	d.store = newMeter(store, d.storeStatus)
	if d.server, err = open(d); err != nil {
		return err
	}
	d.onClose(func() error { err := d.server.Close(); d.wg.Wait(); return err })
	for _, l := range d.listeners {
		d.wg.Go(func() { d.serve(l) })
	}
	return d.servePage()
}

func (d *daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

// close ends everything, what was opened last first: so no engine is served by
// a store that is closed.
func (d *daemon) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}

// serve accepts engines. It returns when the server is closed.
func (d *daemon) serve(l net.Listener) {
	err := d.server.Serve(l)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if err != nil {
		select {
		case d.failed <- fmt.Errorf("listen on %s: %w", l.Addr(), err):
		default: // one is enough
		}
	}
}

func (d *daemon) servePage() error {
	page, err := d.dir.Listen(runtimedir.StatusSocket)
	if err != nil {
		return err
	}
	d.onClose(page.Close)
	d.wg.Go(func() {
		if err := status.Serve(page, d.document); err != nil {
			d.log.Error("the status page has ended", "error", err)
		}
	})
	return nil
}

// storeStatus is called for each change of the store's status, with the store's locks
// held.
func (d *daemon) storeStatus(logserver.Status) {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Intervals of what is done again and again.
const (
	certificateInterval = 24 * time.Hour
	statusInterval      = 10 * time.Second
)

// attend does what is to be done beside serving, until the end is asked for.
func (d *daemon) attend(ctx context.Context, signals <-chan os.Signal) error {
	certificate, line := time.NewTicker(certificateInterval), time.NewTicker(statusInterval)
	defer certificate.Stop()
	defer line.Stop()
	var watchdog, expiry <-chan time.Time
	if interval := d.notify.WatchdogInterval(); interval > 0 {
		t := time.NewTicker(interval)
		defer t.Stop()
		watchdog = t.C
	}
	if d.cfg.ExpireAfter > 0 {
		t := time.NewTicker(min(max(d.cfg.ExpireAfter/10, time.Second), time.Hour))
		defer t.Stop()
		expiry = t.C
	}
	last := logserver.OK
	look := func() {
		if now := d.store.Status(); now != last {
			d.tellStatus(now)
			last = now
		}
	}
	look() // it may have been opened so, or be so since the first engine came
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.failed:
			return err
		case sig := <-signals:
			d.log.Info("signal", "signal", sig)
			if sig != syscall.SIGHUP {
				return nil
			}
			d.lookAtCertificate()
		case <-certificate.C:
			d.lookAtCertificate()
		case <-watchdog: // this loop, and the store's locks, work
			d.store.Usage()
			d.tell(d.notify.Watchdog())
		case <-expiry:
			d.expire()
		case <-line.C:
			d.tell(d.notify.Status(d.summary()))
		case <-d.changed:
			look()
		}
	}
}

// tellStatus says what the store's status has become.
func (d *daemon) tellStatus(now logserver.Status) {
	used, limit := d.store.Usage()
	args := []any{"status", now, "used", used, "quota-total", limit}
	if reason := d.complaints.Reason(d.store); reason != "" {
		args = append(args, "reason", reason)
	}
	switch {
	case now == logserver.OK:
		d.log.Info("store recovered", args...)
	case now&logserver.Failed != 0:
		d.log.Error("store failed: nothing becomes stable any more", args...)
	default:
		d.log.Warn("store degraded", args...)
	}
	d.tell(d.notify.Status(d.summary()))
}

// expire deletes connections that no engine has used for cfg.ExpireAfter.
func (d *daemon) expire() {
	if n := d.server.expire(d.cfg.ExpireAfter); n > 0 {
		d.log.Warn("connections expired: no engine has used them", "connections", n, "for", d.cfg.ExpireAfter)
	}
}

// soon is when a certificate's end is worth a word.
const soon = 30 * 24 * time.Hour

// lookAtCertificate warns if engines will not believe it much longer.
func (d *daemon) lookAtCertificate() {
	c, err := certs.ReadCert(d.cfg.TLS.Cert)
	switch {
	case err != nil:
		d.log.Error("the certificate cannot be read; the previous one stays in use", "error", err)
	case time.Until(c.NotAfter) < soon:
		d.log.Warn("the certificate expires soon", "file", d.cfg.TLS.Cert, "until", c.NotAfter.Format(time.DateOnly))
	}
}

func (d *daemon) tell(err error) {
	if err != nil {
		d.log.Warn("service manager not notified", "error", err)
	}
}

func (d *daemon) addresses() []string {
	var list []string
	for _, l := range d.listeners {
		list = append(list, l.Addr().String())
	}
	return list
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// name is what the log server is called in its status: the last part of its
// store's directory, or "logd".
func (d *daemon) name() string {
	if u, err := backend.Parse(d.cfg.Store); err == nil && u.Kind == backend.Disk {
		return filepath.Base(u.Dir)
	}
	return "logd"
}
