package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/daemon"
)

const serveHelp = `Run the services of a configuration file, all on one engine. The smallest file is

  [[service]]
  name = "counter"
  mode = "listen"            # the server calls ftnet.Listen; "unmodified" for any other binary
  command = ["./counter", "-listen", ":7000"]

docs/configuration.md has every key. All that is wrong with a file is printed at
once, with file, line and column; the exit status is then 64.

SIGHUP, or ftnet reload, applies changes of the file; services that did not change
are not touched. SIGTERM and SIGINT stop all services. What they write goes to
standard error, line by line with the service's name before it; ftnet logs shows
the newest of it.

A service that crashes more often than its restart limit allows does not take the
others down, but the exit status is 71 in the end.

Under systemd (packaging/ftnet.service) the daemon says when it is ready, what it
is doing, and, for the watchdog, that its engine works.`

// newServe makes `ftnet serve`.
func newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the services of a configuration file",
		Long:  serveHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.flags(cmd)
	return cmd
}

func (o *serveOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.keys = config.NewFlags()
	f.StringVarP(&o.config, "config", "c", "", "the configuration `FILE`")
	f.BoolVar(&o.check, "check", false, "only check the file")
	define(f, o.keys, []keyFlag{{"log-level", "engine.log-level", "trace, debug, info, warn, error or off; in place of the file's"}})
	runtimeDirFlag(cmd, &o.runtimeDir)
	bpffsFlag(cmd, &o.bpffs)
}

type serveOptions struct {
	config, runtimeDir, bpffs string
	check                     bool
	keys                      *config.Flags
}

func (o *serveOptions) run(cmd *cobra.Command) error {
	if o.config == "" {
		return &usageError{errors.New("--config FILE is required")}
	}
	said, err := o.keys.File()
	if err != nil {
		return wrongFlags(err)
	}
	err = o.serve(cmd, said)
	var invalid *daemon.ConfigError
	if errors.As(err, &invalid) {
		for _, d := range invalid.Diagnostics {
			cmd.PrintErrln(d)
		}
	}
	return err
}

func (o *serveOptions) serve(cmd *cobra.Command, said *config.File) error {
	if o.check {
		f, err := daemon.Load(o.config)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), o.config+": "+describe(f))
		return err
	}
	// From here on no request to stop is lost, however long the engine takes to start.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	return daemon.Serve(cmd.Context(), daemon.Options{
		ConfigPath: o.config, Signals: signals, Output: cmd.ErrOrStderr(),
		Override: func(f *config.File) { o.override(cmd, said, f) },
	})
}

// override lets flags win over a file, and the environment over the default.
func (o *serveOptions) override(cmd *cobra.Command, said, f *config.File) {
	if cmd.Flags().Changed("runtime-dir") || f.Engine.RuntimeDir == "" {
		f.Engine.RuntimeDir = o.runtimeDir
	}
	if cmd.Flags().Changed("bpffs") || f.Engine.BPFFS == "" {
		f.Engine.BPFFS = o.bpffs
	}
	if cmd.Flags().Changed("log-level") {
		f.Engine.LogLevel = said.Engine.LogLevel
	}
}

// describe is a valid file in one line.
func describe(f *config.File) string {
	var names []string
	for i := range f.Services {
		s := &f.Services[i]
		text := s.Name + " (" + string(s.Mode)
		if len(s.Listen) > 0 {
			text += " " + strings.Join(s.Listen, " ")
		}
		names = append(names, text+")")
	}
	return fmt.Sprintf("valid, %s: %s", count(uint64(len(f.Services)), "service"), strings.Join(names, ", "))
}
