package logbench

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Target is a log to be measured.
type Target struct {
	// Name heads its column.
	Name string
	// Open opens the log, which must have room for 2 GiB on one connection and
	// for 3 GiB in all. It is called once for each round, and again after Close.
	Open func() (logserver.Log, error)
	// Dir holds its files. Empty means that it has none here: then space and
	// start-up are not measured.
	Dir string
}

// Config says what is measured and how much.
type Config struct {
	Targets []Target
	// DiskDir is where the disk's own rate is measured; empty: it is not.
	DiskDir string
	Rounds  int
	Loads   []Load
	// Each load is written for this time, or until so many bytes are written.
	For   time.Duration
	Bytes int64
	// Stored is how many bytes the measurements of space and start-up store.
	Stored int64
	// Only, if not empty, is the one of Parts that is measured.
	Only     string
	Progress io.Writer
	// Quiet is how long each measurement may wait for the machine to have nothing
	// else to do.
	Quiet time.Duration
}

// Parts are what Config.Only may name. Bulk is the part of load that the
// decision in docs/log-store.md rests on.
var Parts = []string{"load", "bulk", "space", "start"}

// Loads are the usual loads: what bulk transfers write (GRO makes segments of up
// to 64 KiB), single segments, and requests that wait for their reply.
var Loads = []Load{
	{1, 64 << 10, 4 << 20},
	{128, 64 << 10, 256 << 10},
	{1, 1448, 4 << 20},
	{128, 1448, 64 << 10},
	{1, 1448, 64 << 10},
	{1, 100, 100},
	{128, 100, 100},
}

// Full returns the usual configuration, Quick one that shows whether everything
// works.
func Full(targets []Target) Config {
	return Config{Targets: targets, Rounds: 5, Loads: Loads, For: 3 * time.Second, Bytes: 1 << 30, Stored: 1 << 30, Progress: io.Discard}
}

// Quick is documented at Full.
func Quick(targets []Target) Config {
	return Config{Targets: targets, Rounds: 1, Loads: Loads, For: 200 * time.Millisecond, Bytes: 64 << 20, Stored: 64 << 20, Progress: io.Discard}
}

// othersRow is what spoils the figures.
const othersRow = "CPUs busy with something else"

// diskColumn heads the column of the disk's own rates.
const diskColumn = "disk alone"

// Run measures. An error leaves what was measured until then in the table.
func Run(c Config) (*Table, error) {
	t := &Table{}
	for _, column := range c.columns() {
		t.column(column)
	}
	if c.Only == "bulk" {
		c.Loads = c.Loads[:min(2, len(c.Loads))]
	}
	measured := func(part string) bool { return c.Only == "" || c.Only == part }
	for round := range c.Rounds {
		fmt.Fprintf(c.Progress, "round %d of %d\n", round+1, c.Rounds)
		n := round % max(1, len(c.Targets)) // who is first alternates
		targets := append(slices.Clone(c.Targets[n:]), c.Targets[:n]...)
		if measured("load") || measured("bulk") {
			if err := c.loads(targets, t); err != nil {
				return t, err
			}
		}
		for _, target := range targets {
			if target.Dir == "" {
				continue
			}
			if measured("space") {
				if err := c.space(target, t); err != nil {
					return t, fmt.Errorf("%s: space: %w", target.Name, err)
				}
			}
			if measured("start") {
				if err := c.start(target, t); err != nil {
					return t, fmt.Errorf("%s: start: %w", target.Name, err)
				}
			}
		}
	}
	return t, nil
}

func (c Config) columns() (names []string) {
	if c.DiskDir != "" {
		names = append(names, diskColumn)
	}
	for _, target := range c.Targets {
		names = append(names, target.Name)
	}
	return names
}

// loads measures all loads, each with one log after the other, so that what
// else the machine does meets all of them.
func (c Config) loads(targets []Target, t *Table) (err error) {
	logs := make([]logserver.Log, len(targets))
	defer func() {
		for _, log := range logs {
			if log != nil {
				err = errors.Join(err, log.Close())
			}
		}
	}()
	for i, target := range targets {
		if logs[i], err = target.Open(); err != nil {
			return fmt.Errorf("%s: %w", target.Name, err)
		}
		if len(c.Loads) == 0 {
			continue
		}
		// Once without counting: a virtual machine may have to ask its host for
		// each page and each block that was never used before, and a log keeps both.
		if err := c.load("", logs[i], c.Loads[0], 0, new(Table)); err != nil {
			return fmt.Errorf("%s: %w", target.Name, err)
		}
	}
	for _, l := range c.Loads {
		fmt.Fprintf(c.Progress, "  %v\n", l)
		disk, err := c.disk(l, t)
		if err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		for i, target := range targets {
			if err := c.load(target.Name, logs[i], l, disk, t); err != nil {
				return fmt.Errorf("%s: %v: %w", target.Name, l, err)
			}
			settle(c.DiskDir)
		}
	}
	return nil
}

// disk measures the disk alone, if the load can be compared with it, and
// returns its rate on a growing file.
func (c Config) disk(l Load, t *Table) (float64, error) {
	if c.DiskDir == "" || l.Window < 64<<10 {
		return 0, nil
	}
	AwaitQuiet(c.Quiet)
	grow, over, err := DiskRates(c.DiskDir, min(c.Bytes, 128<<20))
	if err != nil {
		return 0, err
	}
	t.add(diskColumn, "sequential MiB/s, fdatasync per MiB, growing file", grow)
	t.add(diskColumn, "sequential MiB/s, fdatasync per MiB, overwriting", over)
	t.add(diskColumn, l.String()+": MiB/s", grow)
	return grow, nil
}

func (c Config) load(column string, log logserver.Log, l Load, disk float64, t *Table) error {
	AwaitQuiet(c.Quiet)
	f, err := Measure(log, l, c.Bytes, c.For)
	if err != nil {
		return err
	}
	t.add(column, othersRow, f.Others)
	t.add(column, l.String()+": MiB/s", f.Rate)
	if disk > 0 {
		t.add(column, l.String()+": of the disk's", f.Rate/disk)
	}
	if f.CPU > 0 {
		t.add(column, l.String()+": CPU s/GiB", f.CPU)
	}
	t.add(column, l.String()+": upcall p50 µs", micros(f.P50))
	t.add(column, l.String()+": upcall p99 µs", micros(f.P99))
	return nil
}

// Figures are what Measure has found.
type Figures struct {
	Rate     float64       // MiB/s until all was stable
	CPU      float64       // seconds of this process for each GiB; 0 if too little was written
	P50, P99 time.Duration // from a write until the upcall for it
	Others   float64       // CPUs that were busy with something else, the kernel's threads included
}

// Measure writes to the log as the load says, for so long or until so many bytes
// are written, and deletes the connections that it has opened for that.
func Measure(log logserver.Log, l Load, limit int64, d time.Duration) (r Figures, err error) {
	f, err := newFeed(log, l.Conns)
	if err != nil {
		return r, err
	}
	runtime.GC() // what was before has left something to be cleared away
	before, all := cpu(), busy()
	n, took, err := f.run(l, limit, d)
	if err != nil {
		return r, err
	}
	used := cpu() - before
	r.Others = max(0, (busy()-all-used).Seconds()) / took.Seconds()
	delay, err := f.end()
	if err != nil {
		return r, err
	}
	mib := float64(n) / (1 << 20)
	r.Rate = mib / took.Seconds()
	if mib > 10 {
		r.CPU = used.Seconds() / mib * 1024
	}
	if len(delay) > 0 {
		r.P50, r.P99 = delay[len(delay)/2], delay[len(delay)*99/100]
	}
	return r, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
