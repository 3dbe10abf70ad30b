package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/logdaemon"
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/oplog"
	"github.com/ftnet/ftnet/recovery/daemon"
)

const logdHelp = `Run a log server: it keeps for engines on other hosts (ftnet run --log ftlog://…, or
[log] url in the file of ftnet serve) what their clients have sent, so that it outlives
those hosts. It needs no privileges.

  ftnet logd --listen :7070 --store file:///var/lib/ftnet-logd \
             --tls-ca ca.pem --tls-cert server.pem --tls-key server.key

or the same in a file, docs/configuration.md has every key:

  listen = [":7070"]
  store = "file:///var/lib/ftnet-logd"
  tls = { ca = "ca.pem", cert = "server.pem", key = "server.key" }

Engines show a certificate that the authority has signed, and reach the services only
that it names: see ftnet certs. Certificates that are replaced need no restart.

SIGTERM and SIGINT end it: what engines were told to be stable is kept, and the engines
go on by themselves when it is back. ftnet status shows the engines and the store.`

// newLogd makes `ftnet logd`.
func newLogd() *cobra.Command {
	var o logdOptions
	cmd := &cobra.Command{
		Use:   "logd --listen ADDRESS --store URL --tls-… | --config FILE",
		Short: "Run a log server for engines on other hosts",
		Long:  logdHelp + logdExitHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.flags(cmd)
	return cmd
}

const logdExitHelp = `

Exit status: 0 after SIGTERM or SIGINT; 64 wrong usage, or a configuration that is not
valid; 70 it could not be started, or failed; 77 a privilege is missing.`

func (o *logdOptions) run(cmd *cobra.Command) error {
	// From here on no request to stop is lost, however long the store takes to open.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	cfg, err := o.load()
	var invalid *daemon.ConfigError
	if errors.As(err, &invalid) {
		for _, d := range invalid.Diagnostics {
			cmd.PrintErrln(d)
		}
	}
	if err != nil {
		return err
	}
	if o.check {
		if err := cfg.TLS.Check(certs.KindServer); err != nil {
			return &failedError{err}
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "valid: listens on %s, keeps the log in %s\n", strings.Join(cfg.Listen, ", "), cfg.Store)
		return err
	}
	log := oplog.Open("ftnet", hclog.LevelFromString(cfg.LogLevel), cmd.ErrOrStderr())
	defer log.Close()
	return logdaemon.Run(cmd.Context(), logdaemon.Options{Config: cfg, Signals: signals, Logger: log})
}
