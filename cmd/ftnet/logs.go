package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

const logsHelp = `Print what a service of the running ftnet serve has written to its standard output and
error: the newest lines of the last MiB, across restarts of the service. With
--follow, go on with what it writes until interrupted.

A line of more than 16 KiB is cut; one without a newline is shown after a moment.
If the reader is slow, lines are left out and counted; the service never waits.`

// newLogs makes `ftnet logs`.
func newLogs() *cobra.Command {
	var (
		d      daemonFlags
		lines  int
		follow bool
		stamps bool
	)
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a service of ftnet serve has written",
		Long:  logsHelp,
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < -1 {
				return &usageError{errors.New("--lines: must be -1 (all) or more")}
			}
			write := writeLine
			if stamps {
				write = writeStampedLine
			}
			return d.do(cmd, admin.Request{Command: admin.Logs, Service: args[0], Lines: lines, Follow: follow}, write)
		},
	}
	f := cmd.Flags()
	f.IntVarP(&lines, "lines", "n", 100, "how many lines to begin with; -1 for all that are kept")
	f.BoolVarP(&follow, "follow", "f", false, "go on with new lines")
	f.BoolVarP(&stamps, "timestamps", "t", false, "put time and stream before each line")
	d.add(cmd)
	return cmd
}

func writeLine(w io.Writer, l admin.Line) error {
	_, err := fmt.Fprintln(w, l.Text)
	return err
}

func writeStampedLine(w io.Writer, l admin.Line) error {
	_, err := fmt.Fprintf(w, "%s %s %s\n", l.Time.Local().Format(time.RFC3339Nano), l.Stream, l.Text)
	return err
}
