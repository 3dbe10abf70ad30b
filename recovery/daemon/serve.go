package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/oplog"
	"github.com/ftnet/ftnet/internal/sdnotify"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// Options of [Serve]. Only ConfigPath is required.
type Options struct {
	ConfigPath string
	// Override, if not nil, changes a file after it was read: the command line
	// has the last word.
	Override func(*config.File)
	// Signals are SIGHUP, which reloads, and SIGTERM and SIGINT, which end the
	// daemon. The caller subscribes early, so that none is lost.
	Signals <-chan os.Signal
	// Output takes the daemon's own log and, line by line with the service's
	// name before it, what the services write. Default: standard error.
	Output io.Writer
}

// Serve runs the services of a configuration file until ctx ends or a signal
// asks for the end; then it stops them, all at the same time. The result is a
// *ConfigError if the file is not valid, a *[FailedError] if services had ended
// before, or says why there is no engine. However Serve ends, nothing stays
// behind.
func Serve(ctx context.Context, o Options) error {
	if o.Output == nil {
		o.Output = os.Stderr
	}
	f, err := o.load()
	if err != nil {
		return err
	}
	log := oplog.Open("ftnet", hclog.LevelFromString(f.Engine.LogLevel), o.Output)
	defer log.Close()
	manager, err := notify.Open(os.Getenv)
	if err != nil {
		return err
	}
	defer manager.Close()
	leaveTerminal()
	h, err := recovery.OpenHost(hostConfig(f, log))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	add := func(c config.Service, in recovery.Inherit) (service, error) {
		s, err := h.Add(c, in)
		if err != nil {
			return nil, err // not a service that is nil
		}
		return s, nil
	}
	d := newDaemon(ctx, h, add, f)
	d.load, d.out, d.log, d.notify = o.load, o.Output, log, manager
	return errors.Join(d.run(cancel, o.Signals), h.Close())
}

// Load reads and checks the file. What is wrong with its contents is a
// *ConfigError.
func Load(path string) (*config.File, error) {
	f, err := config.Load(path)
	var list config.Diagnostics
	if errors.As(err, &list) {
		return nil, &ConfigError{Path: path, Diagnostics: list}
	}
	return f, err
}

func (o *Options) load() (*config.File, error) {
	f, err := Load(o.ConfigPath)
	if err == nil && o.Override != nil {
		o.Override(f)
	}
	return f, err
}

// run is Serve with an open engine. end ends d.ctx.
func (d *daemon) run(end func(), signals <-chan os.Signal) error {
	socket, err := d.host.Listen(admin.SocketName)
	if err != nil {
		return fmt.Errorf("socket for commands: %w", err)
	}
	d.wg.Go(func() {
		if err := admin.Serve(d.ctx, socket, d.command); err != nil {
			d.log.Error("command socket failed", "error", err)
		}
	})
	if interval := d.notify.WatchdogInterval(); interval > 0 {
		d.wg.Go(func() { watchdog(d.ctx, interval, d.host.Works, d.notify.Watchdog, d.log) })
	}
	stop := context.AfterFunc(d.ctx, d.host.GiveUp)
	defer stop()
	d.wg.Go(func() { // from now on: begin may wait for the log
		d.attend(signals)
		end()
	})
	if err = d.begin(); err == nil {
		<-d.ctx.Done()
	}
	d.log.Info("stopping")
	d.tell(d.notify.Stopping("stopping"))
	end()
	return errors.Join(err, d.end())
}

// attend acts on signals until the daemon is to end.
func (d *daemon) attend(signals <-chan os.Signal) {
	reloads := make(chan struct{}, 1) // several requests in a row are one
	d.wg.Go(func() {
		for {
			select {
			case <-d.ctx.Done():
				return
			case <-reloads:
				_ = d.reload(func(string) {}) // it logs
			}
		}
	})
	for {
		select {
		case <-d.ctx.Done():
			return
		case sig := <-signals:
			d.log.Info("signal", "signal", sig)
			if sig != syscall.SIGHUP {
				return
			}
			select {
			case reloads <- struct{}{}:
			default:
			}
		}
	}
}
