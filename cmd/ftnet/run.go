package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/oplog"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/recovery"
)

const runHelp = `Run COMMAND as a supervised child, with the engine that keeps its connections
alive in this process. COMMAND uses ftnet.Listen; it finds the engine through the
environment variable FTNET_ENGINE.

With --unmodified, COMMAND is any other server, and --listen says where it listens.
After a crash its connections are opened again and fed what the clients had sent;
what it then writes is compared with what they have acknowledged (--compare).
--log-policy says how much of the clients' data is kept for that: everything, to the
quota ("full"); what came since the connection was last idle for --log-idle ("idle"),
which is right only where each reply ends what came before, as with HTTP/1.1 without
state in the connection; or nothing ("off"): a crash ends the connection.
docs/limits.md says which servers are fit for it.

What clients send is kept in memory, unless --log says otherwise: on a disk of this
host (file:///DIR), where it outlives the engine and a loss of power, or on a log server
(ftlog://HOST:PORT, see ftnet logd), where it outlives the host. The connections that
an earlier ftnet has left there go on when this one starts; with --recover=false they
are deleted, and their clients get a RST when they speak.

Standard input, output and error are COMMAND's. Signals are passed on: SIGTERM and
SIGINT ask it to stop (its connections end as it ends them), after --stop-timeout
it is killed; SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH go through. In a
terminal COMMAND shares ftnet's process group, so that Ctrl-C and Ctrl-Z mean both.

When COMMAND exits with status 0, so does ftnet. When it crashes it is started
again: at once, then after 10 ms, doubled up to 500 ms, from the start again once
it ran for 250 ms. More than --restart-limit restarts within --restart-window end
the service: its clients get a RST.` + exitHelp

// newRun makes `ftnet run`.
func newRun() *cobra.Command {
	o := defaultRunOptions()
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG…]",
		Short: "Run a server whose connections survive its crashes",
		Long:  runHelp,
		Example: "  ftnet run -- ./counter -listen :7000\n  ftnet run --user www-data --quota 16MiB -- ./http\n" +
			"  ftnet run --unmodified --listen :6379 -- redis-server --save ''",
		Args: usageArgs(needsCommand),
		RunE: func(cmd *cobra.Command, args []string) error {
			// From here on no request to stop is lost, however long the engine takes to start.
			signals, unsubscribe := supervisor.Subscribe()
			defer unsubscribe()
			log := oplog.Open("ftnet", hclog.LevelFromString(o.logLevel), cmd.ErrOrStderr())
			defer log.Close()
			cfg, err := o.config(args, log)
			if err != nil {
				return &usageError{err}
			}
			for _, name := range o.interfaces {
				if _, err := net.InterfaceByName(name); err != nil {
					return fmt.Errorf("--interface %s: %w", name, err)
				}
			}
			cfg.Supervisor.Signals = signals
			return recovery.Run(context.Background(), cfg)
		},
	}
	o.flags(cmd)
	return cmd
}

func needsCommand(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("COMMAND is missing")
	}
	return nil
}

type runOptions struct {
	name          string
	unmodified    unmodifiedOptions
	log           logOptions
	recover       recoverOptions
	down          downOptions
	dead          deadOptions
	user          string
	quota         bytesize.Size
	quotaTotal    bytesize.Size
	onFull        string
	interfaces    []string
	maxConns      int
	restartLimit  int
	restartWindow time.Duration
	stopTimeout   time.Duration
	drain         time.Duration
	logLevel      string
	runtimeDir    string
	bpffs         string
	mark          fwmark.Mark
}

func defaultRunOptions() *runOptions {
	return &runOptions{
		unmodified:    unmodifiedDefaults,
		log:           logDefaults,
		recover:       recoverDefaults,
		down:          downDefaults,
		dead:          deadDefaults,
		quota:         64 * bytesize.MiB,
		onFull:        string(recovery.CloseWindow),
		maxConns:      65536,
		restartLimit:  supervisor.DefaultRestartLimit,
		restartWindow: supervisor.DefaultRestartWindow,
		stopTimeout:   supervisor.DefaultStopTimeout,
		drain:         recovery.DefaultDrain,
		logLevel:      "info",
	}
}

func (o *runOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows COMMAND is its own
	f.StringVar(&o.name, "name", o.name, "name of the service in messages and status (default: the command's)")
	o.unmodified.flags(f)
	o.log.flags(f)
	o.recover.flags(f)
	o.down.flags(f)
	o.dead.flags(f)
	f.StringVar(&o.user, "user", o.user, "run COMMAND as `USER[:GROUP]`, names or numbers; the engine keeps its privileges")
	f.Var(&o.quota, "quota", "bytes logged for one connection, from 64KiB")
	f.Var(&o.quotaTotal, "quota-total", "bytes that the log may take (default: a quarter of the memory; with --log file: 8GiB, at most half of the disk)")
	f.StringVar(&o.onFull, "on-full", o.onFull, "when a quota is full: close-window, unprotect or reset")
	f.StringArrayVar(&o.interfaces, "interface", nil, "protect the service on this `INTERFACE` only; may be repeated (default: all)")
	f.Var(&o.mark, "mark", "bits of the firewall mark that what ftnet sends has, besides those of the connection (default: none)")
	f.IntVar(&o.maxConns, "max-connections", o.maxConns, "how many connections can be protected at a time")
	f.IntVar(&o.restartLimit, "restart-limit", o.restartLimit, "restarts within --restart-window; -1 for no limit")
	f.DurationVar(&o.restartWindow, "restart-window", o.restartWindow, "window of --restart-limit")
	f.DurationVar(&o.stopTimeout, "stop-timeout", o.stopTimeout, "kill COMMAND when it has not stopped by then")
	f.DurationVar(&o.drain, "drain", o.drain, "how long to serve closing connections after COMMAND has stopped; then they are reset")
	f.StringVar(&o.logLevel, "log-level", o.logLevel, "trace, debug, info, warn, error or off")
	runtimeDirFlag(cmd, &o.runtimeDir)
	bpffsFlag(cmd, &o.bpffs)
	// A zero default means "a quarter of the memory" here, which the text says.
	f.Lookup("quota-total").DefValue = ""
}

// config checks the flags and makes the engine's configuration.
func (o *runOptions) config(command []string, logger hclog.Logger) (recovery.Config, error) {
	onFull, err := recovery.ParseOnFull(o.onFull)
	switch {
	case err != nil:
		err = fmt.Errorf("--on-full: %w", err)
	case o.quota < recovery.MinQuota:
		err = fmt.Errorf("--quota: %v: %w", o.quota, recovery.ErrQuota)
	case o.quotaTotal != 0 && o.quotaTotal < o.quota:
		err = fmt.Errorf("--quota-total: %v is below the quota %v of one connection", o.quotaTotal, o.quota)
	case o.maxConns <= 0 || o.maxConns > gate.MostConns:
		err = fmt.Errorf("--max-connections: must be from 1 to %d", gate.MostConns)
	case o.restartLimit < -1:
		err = errors.New("--restart-limit: must be -1 (no limit) or more")
	case o.restartWindow <= 0:
		err = errors.New("--restart-window: must be above 0")
	case o.stopTimeout <= 0:
		err = errors.New("--stop-timeout: must be above 0")
	case o.drain < 0:
		err = errors.New("--drain: must not be negative")
	case hclog.LevelFromString(o.logLevel) == hclog.NoLevel:
		err = fmt.Errorf("--log-level: %q is none of trace, debug, info, warn, error and off", o.logLevel)
	}
	if err != nil {
		return recovery.Config{}, err
	}
	cfg := recovery.Config{
		Name: o.name, Command: command, User: o.user,
		Quota: int64(o.quota), QuotaTotal: int64(o.quotaTotal), OnFull: onFull,
		Interfaces: o.interfaces, MaxConns: o.maxConns, Drain: drain(o.drain),
		RuntimeDir: o.runtimeDir, BPFFS: o.bpffs, Mark: o.mark, Logger: logger,
		Supervisor: supervisor.Config{
			Command: command, User: o.user, StopTimeout: o.stopTimeout,
			RestartLimit: restartLimit(o.restartLimit), RestartWindow: o.restartWindow,
			Logger: logger.Named("supervisor"),
		},
	}
	if err := errors.Join(o.log.apply(&cfg, o.quotaTotal), o.recover.apply(&cfg), o.down.apply(&cfg), o.dead.apply(&cfg)); err != nil {
		return cfg, err
	}
	return cfg, o.unmodified.apply(&cfg)
}

// drain translates the flag: 0 is "not at all" here but "the default" in
// recovery.Config.
func drain(d time.Duration) time.Duration {
	if d == 0 {
		return recovery.NoDrain
	}
	return d
}

// restartLimit translates the flag: 0 is "never again" there but "the default"
// in supervisor.Config.
func restartLimit(n int) int {
	if n == 0 {
		return supervisor.NoRestarts
	}
	return n
}
