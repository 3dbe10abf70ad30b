package recovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/rawio"
)

// Config is what `ftnet run` needs: an engine with one service. Only Command is
// required, and Listen for ModeUnmodified.
type Config struct {
	Name       string   // of the service in messages; default: the command's base name
	Mode       Mode     // default ModeListen
	Listen     []string // see ServiceConfig.Listen
	Command    []string // see supervisor.Config.Command
	User       string   // see supervisor.Config.User
	Quota      int64    // bytes logged for one connection, from 64 KiB; default 64 MiB
	LogURL     string   // see HostConfig.LogURL
	LogOptions backend.Options
	Forget     bool          // see HostConfig.Forget
	QuotaTotal int64         // see HostConfig.QuotaTotal
	OnFull     OnFull        // default CloseWindow
	Log        LogPolicy     // default LogFull
	LogDown    LogDown       // default DownHold
	DownAfter  time.Duration // see ServiceConfig.DownAfter
	Idle       time.Duration // see ServiceConfig.Idle
	Compare    Compare       // see ServiceConfig.Compare
	Ready      Readiness
	Interfaces []string      // to protect; default all that carry the service
	MaxConns   int           // default 65536
	DeadAfter  time.Duration // see HostConfig.DeadAfter
	Supervisor supervisor.Config
	Drain      time.Duration // how long the engine serves open connections after the process ended on request; default 5 s; see NoDrain
	RuntimeDir string        // default /run/ftnet
	BPFFS      string        // see HostConfig.BPFFS
	Mark       fwmark.Mark   // see HostConfig.Mark
	Logger     hclog.Logger  // default: nothing is logged
	// Trace, if not nil, is told each rise of a connection's stable number
	// before the gate is (rawio.Config.Trace).
	Trace func(flow rawio.Flow, stable uint32, now int64)
}

// Run runs the service until it ends: it opens an engine and its log,
// supervises the command, and recovers its connections after each crash. The
// end of ctx asks the command to stop. The result is that of
// supervisor.Supervisor.Run, or says why the engine could not be opened. A signal
// that comes while the log is waited for ends it as one to the command does.
// However Run ends, nothing of the engine stays behind. See OpenHost for what
// it means for other children of this process.
func Run(ctx context.Context, cfg Config) error {
	if len(cfg.Command) == 0 {
		return errors.New("no command to run")
	}
	orElse(&cfg.Name, filepath.Base(cfg.Command[0]))
	if cfg.Supervisor.Signals == nil {
		signals, unsubscribe := supervisor.Subscribe()
		defer unsubscribe()
		cfg.Supervisor.Signals = signals
	}
	early := newEarlySignals(cfg.Supervisor.Signals)
	defer early.close()
	cfg.Supervisor.Signals = early.passed
	service, err := cfg.service().withDefaults()
	if err != nil {
		return err
	}
	// A mistyped command is told before the kernel is asked for anything.
	if _, err := supervisor.New(service.supervisor(hclog.NewNullLogger()), nil); err != nil {
		return err
	}
	cfg.LogOptions.Services = []string{cfg.Name}
	h, err := OpenHost(HostConfig{
		Name: cfg.Name, RuntimeDir: cfg.RuntimeDir, BPFFS: cfg.BPFFS, Mark: cfg.Mark, Interfaces: cfg.Interfaces, MaxConns: cfg.MaxConns, DeadAfter: cfg.DeadAfter,
		LogURL: cfg.LogURL, LogOptions: cfg.LogOptions, Forget: cfg.Forget, QuotaTotal: cfg.QuotaTotal, Unmodified: cfg.Mode == ModeUnmodified, Logger: cfg.Logger, Trace: cfg.Trace,
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, h.GiveUp) // Add may wait for the log
	early.onStop(h.GiveUp)
	s, err := h.Add(service)
	stop()
	if err == nil {
		h.Settled()
		err = s.Run(ctx)
	} else if sig := early.stop(); sig != 0 && errors.Is(err, context.Canceled) {
		err = &supervisor.ExitError{Exit: supervisor.Exit{Kind: supervisor.Stopped, Signal: sig, At: time.Now()}}
	}
	return errors.Join(err, h.Close())
}

// service is the only service.
func (c *Config) service() ServiceConfig {
	s := &c.Supervisor
	out := ServiceConfig{
		Name: c.Name, Mode: c.Mode, Listen: c.Listen, Command: c.Command, User: c.User,
		Env: s.Env, Dir: s.Dir, Groups: s.Groups, Limits: s.Limits,
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Signals: s.Signals,
		StopSignal: s.StopSignal, StopTimeout: s.StopTimeout,
		Restart: RestartPolicy{Policy: s.Restart, Limit: s.RestartLimit, Window: s.RestartWindow, Backoff: s.Backoff},
		Quota:   c.Quota, OnFull: c.OnFull, Log: c.Log, LogDown: c.LogDown, DownAfter: c.DownAfter, Idle: c.Idle, Compare: c.Compare, Ready: c.Ready, Drain: c.Drain,
	}
	orElse(&out.Stdin, os.Stdin)
	return out
}
