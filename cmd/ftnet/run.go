package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/oplog"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
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

// runFlags are the flags of `ftnet run` for keys of the file.
var runFlags = slices.Concat([]keyFlag{
	{"name", "service.name", "`NAME` of the service in messages and status (default: the command's)"},
	{"listen", "service.listen", "COMMAND listens on this `ADDRESS`, such as :7000; may be repeated"},
	{"compare", "service.compare", "with --unmodified: compare repeated output: strict, or length only"},
	{"log-policy", "service.log", "with --unmodified: keep what clients send: full, idle or off"},
	{"log-idle", "service.log.idle", "how long a connection must be idle for --log-policy idle"},
	{"user", "service.user", "run COMMAND as `USER[:GROUP]`, names or numbers; the engine keeps its privileges"},
	{"quota", "service.quota", "bytes logged for one connection, from 64KiB"},
	{"on-full", "service.on-full", "when a quota is full: close-window, unprotect or reset"},
	{"when-log-down", "service.log.when-down", "while the log takes nothing: hold, or unprotect connections after --log-down-after"},
	{"log-down-after", "service.log.down-after", "see --when-log-down"},
	{"restart-limit", "service.restart.limit", "restarts within --restart-window; -1 for no limit"},
	{"restart-window", "service.restart.window", "window of --restart-limit"},
	{"stop-timeout", "service.stop.timeout", "kill COMMAND when it has not stopped by then"},
	{"drain", "service.drain", "how long to serve closing connections after COMMAND has stopped; then they are reset"},
	{"quota-total", "log.quota-total", "bytes that the log may take (default: a quarter of the memory; with --log file: 8GiB, at most half of the disk)"},
	{"recover", "log.recover", "with --log file: or ftlog: recover the connections that an earlier ftnet has left in the log; with =false delete them"},
	{"interface", "engine.interfaces", "protect the service on this `INTERFACE` only; may be repeated (default: all)"},
	{"mark", "engine.mark", "`VALUE/MASK`: bits of the firewall mark that what ftnet sends has, besides those of the connection (default: none)"},
	{"max-connections", "engine.max-connections", "how many connections can be protected at a time"},
	{"when-engine-dead", "engine.when-dead", "when ftnet is killed or stuck: hold what it would have to judge, or open after --engine-dead-after"},
	{"engine-dead-after", "engine.dead-after", "see --when-engine-dead"},
	{"log-level", "engine.log-level", "trace, debug, info, warn, error or off"},
}, logFlags)

// newRun makes `ftnet run`.
func newRun() *cobra.Command {
	var o runOptions
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
			f, err := o.file(args)
			if err != nil {
				return wrongFlags(err)
			}
			for _, name := range f.Engine.Interfaces {
				if _, err := net.InterfaceByName(name); err != nil {
					return fmt.Errorf("--interface %s: %w", name, err)
				}
			}
			log := oplog.Open("ftnet", hclog.LevelFromString(f.Engine.LogLevel), cmd.ErrOrStderr())
			defer log.Close()
			host := recovery.HostConfig{Log: f.Log, Engine: f.Engine, Logger: log}
			return recovery.Run(context.Background(), host, f.Services[0], recovery.Inherit{Signals: signals})
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
	keys              *config.Flags
	runtimeDir, bpffs string
}

func (o *runOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows COMMAND is its own
	o.keys = config.NewFlags()
	define(f, o.keys, runFlags)
	unmodified := unmodifiedFlag{o.keys.Flag("unmodified", "service.mode")}
	f.VarPF(unmodified, "unmodified", "", "COMMAND does not call ftnet.Listen; --listen is required").NoOptDefVal = "true"
	runtimeDirFlag(cmd, &o.runtimeDir)
	bpffsFlag(cmd, &o.bpffs)
}

// file is what the flags say, as a file.
func (o *runOptions) file(command []string) (*config.File, error) {
	f, err := o.keys.File(command...)
	if err != nil {
		return nil, err
	}
	f.Engine.RuntimeDir, f.Engine.BPFFS = o.runtimeDir, o.bpffs
	f.Services[0].StopSignal = 0 // that which ftnet got
	return f, nil
}
