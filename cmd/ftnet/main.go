// Command ftnet keeps the TCP connections of a server alive while the server
// process crashes and comes back. See `ftnet help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/rawio"
)

func main() {
	root := newRoot()
	cmd, err := root.ExecuteContextC(context.Background())
	code := exitCode(err)
	if err != nil && !silent(err) {
		root.PrintErrln("ftnet:", err)
		if errors.As(err, new(*usageError)) {
			root.PrintErrf("Run '%s --help' for usage.\n", cmd.CommandPath())
		}
	}
	os.Exit(code)
}

const rootHelp = `ftnet keeps the TCP connections of a server alive while the server process
crashes and comes back: clients see a short pause, no FIN, no RST, no lost and
no repeated byte.

  ftnet demo                   watch it
  ftnet doctor                 see whether this machine can do it
  ftnet run -- ./myserver      do it
  ftnet serve --config FILE    do it for several services

What clients have sent is kept in memory, on a disk (--log file:///DIR), or on another
host, so that the crash of this one is survived, too:

  ftnet certs init DIR         certificates for that
  ftnet logd --config FILE     the log server there` + exitHelp

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "ftnet",
		Short:         "Keep TCP connections alive while their server crashes and comes back",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{explainFlag(err)} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newRun(), newServe(), newLogd(), newReload(), newRestart(), newStop(), newStart(), newLogs(),
		newStatus(), newDoctor(), newCerts(), newDemo(), newVersion())
	root.AddCommand(demoRoles()...)
	return root
}

// explainFlag says what a flag takes whose value cannot be read.
func explainFlag(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	want := map[string]string{"int": "a whole number", "duration": "a duration such as 5s or 1m30s", "bool": "true or false"}[invalid.GetFlag().Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("invalid argument %q for --%s: want %s", invalid.GetValue(), invalid.GetFlag().Name, want)
}

// bpffsFlag is shared by the commands that look at what engines have in the kernel.
func bpffsFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "bpffs", rawio.DefaultBPFFS, "BPF file system in which engines pin their state in the kernel")
}

// runtimeDirFlag is shared by the commands that look at engines.
func runtimeDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "runtime-dir", defaultRuntimeDir(), "where engines keep their sockets (environment: FTNET_RUNTIME_DIR)")
}
