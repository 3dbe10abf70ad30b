package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

// daemonFlags tell the commands that talk to `ftnet serve` which one is meant.
type daemonFlags struct {
	runtimeDir, engine string
}

func (d *daemonFlags) add(cmd *cobra.Command) {
	runtimeDirFlag(cmd, &d.runtimeDir)
	cmd.Flags().StringVar(&d.engine, "engine", "", "the daemon's engine `ID`, as ftnet status shows it, or process id; needed if several run")
}

// do sends a request to the daemon and prints what it says.
func (d *daemonFlags) do(cmd *cobra.Command, r admin.Request, line func(io.Writer, admin.Line) error) error {
	path, err := admin.Find(d.runtimeDir, d.engine)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	out := cmd.OutOrStdout()
	err = admin.Do(ctx, path, r, func(m admin.Message) (err error) {
		switch {
		case m.Line != nil:
			err = line(out, *m.Line)
		case m.Missed > 0:
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "(%d lines lost)\n", m.Missed)
		case m.Said != "":
			_, err = fmt.Fprintln(out, m.Said)
		}
		return err
	})
	var refused *admin.Error
	if errors.As(err, &refused) {
		for _, line := range refused.Diagnostics {
			fmt.Fprintln(cmd.ErrOrStderr(), line)
		}
	}
	return err
}

// serviceCommand makes a command that does one thing to one service.
func serviceCommand(c admin.Command, short, long string) *cobra.Command {
	var d daemonFlags
	cmd := &cobra.Command{
		Use:   string(c) + " NAME",
		Short: short,
		Long:  long,
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.do(cmd, admin.Request{Command: c, Service: args[0]}, nil)
		},
	}
	d.add(cmd)
	return cmd
}
