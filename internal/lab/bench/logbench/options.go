package logbench

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options are the flags of the commands that measure logs.
type Options struct {
	quick, verbose bool
	rounds         int
	only, disk     string
	quiet          time.Duration
}

// Register defines the flags.
func (o *Options) Register(flags *flag.FlagSet) {
	flags.BoolVar(&o.quick, "quick", false, "measure little: shows that everything works, not how fast")
	flags.BoolVar(&o.verbose, "v", false, "say what is being measured")
	flags.IntVar(&o.rounds, "rounds", 0, "number of rounds (default 5, or 1 with -quick)")
	flags.StringVar(&o.only, "only", "", "measure one `part` and nothing else: "+strings.Join(Parts, ", "))
	flags.DurationVar(&o.quiet, "quiet", 0, "wait at most so long before each measurement until the machine has nothing else to do")
	flags.StringVar(&o.disk, "disk", "", "`directory` where the disk's own rate is measured (default that of the first log with files)")
}

// Main measures the targets as the flags say and prints the table.
func (o *Options) Main(targets []Target, out, progress io.Writer) error {
	if o.only != "" && !slices.Contains(Parts, o.only) {
		return fmt.Errorf("-only %s: not one of %s", o.only, strings.Join(Parts, ", "))
	}
	c := Full(targets)
	if o.quick {
		c = Quick(targets)
	}
	c.Only, c.DiskDir, c.Quiet = o.only, o.disk, o.quiet
	if o.rounds > 0 {
		c.Rounds = o.rounds
	}
	if o.verbose {
		c.Progress = progress
	}
	for _, t := range targets {
		if c.DiskDir == "" {
			c.DiskDir = t.Dir
		}
	}
	fmt.Fprintf(out, "%s/%s, %d CPUs, load average %s, %d rounds\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), loadAverage(), c.Rounds)
	table, err := Run(c)
	if e := table.Write(out); err == nil {
		err = e
	}
	return err
}

// loadAverage is what the kernel says of the last minute: other work on the
// machine spoils the figures.
func loadAverage() string {
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(average), " ")
	return one
}
