package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Config says how much is measured.
type Config struct {
	Programs   Programs
	Rounds     int           // of plain and ftnet in turn
	Bytes      int64         // of one upload or download
	Echoes     int           // round trips of one echo measurement
	Connect    time.Duration // of one connection-rate measurement
	Pauses     []int         // numbers of connections of the kill measurement
	Idle       int           // connections of the idle measurement
	Logged     []Load        // roll-forward on the wire, each
	Loaded     Load          // kill of an unmodified server
	Closing    time.Duration // of one measurement of a server that closes after each reply
	Quiet      time.Duration // measurements with logs wait so long for the machine to have nothing else to do
	LogKind    string        // what the names of the logs contain that are measured; empty: all
	LogDir     string        // where logs keep their files; default the directory for temporary files
	Congestion string        // the congestion control of clients (tcp(7)); empty: the system's
	// Only, if not empty, is the one of Parts that is measured.
	Only string
	// Progress is told what is being measured, and what the programs say.
	Progress io.Writer
}

// Load is what an unmodified server has had when it is killed.
type Load struct {
	Connections int
	Bytes       int64 // of each connection
}

// Parts are what Config.Only may name.
var Parts = []string{"upload", "download", "logs", "roll-forward", "loaded-pause", "closing"}

// Full returns the configuration that "make bench" uses, Quick one that shows
// in half a minute whether everything works.
func Full(p Programs) Config {
	return Config{Programs: p, Rounds: 7, Bytes: 1 << 30, Echoes: 20000, Connect: 3 * time.Second,
		Pauses: []int{1, 1000, 10000}, Idle: 10000,
		Logged: []Load{{1, 512 << 20}, {64, 8 << 20}}, Loaded: Load{1000, 100 << 10}, Closing: 4 * time.Second}
}

// Quick is documented at Full.
func Quick(p Programs) Config {
	return Config{Programs: p, Rounds: 1, Bytes: 128 << 20, Echoes: 3000, Connect: time.Second,
		Pauses: []int{1, 1000}, Idle: 1000,
		Logged: []Load{{1, 64 << 20}, {64, 1 << 20}}, Loaded: Load{1000, 10 << 10}, Closing: time.Second}
}

// Run measures and returns the table. An error of the protected half leaves
// what was measured until then in the table.
func Run(c Config) (t *Table, err error) {
	t = &Table{}
	plain, err := openWorld(c, false)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, plain.close()) }()
	worlds := []*world{plain}
	if c.Programs.Ftnet != "" {
		protected, e := openWorld(c, true)
		if e != nil {
			return t, e
		}
		defer func() { err = errors.Join(err, protected.close()) }()
		worlds = append(worlds, protected)
	}
	if !slices.Contains(Parts[2:], c.Only) {
		if err := first(c, worlds, t); err != nil {
			return t, err
		}
	}
	if c.Only == "" || c.Only == "logs" {
		if err := logs(c, worlds, t); err != nil {
			return t, err
		}
	}
	return t, unmodified(c, worlds, t)
}

// first measures what a server on ftnet.Listen meets, beside the same server on
// net.Listen.
func first(c Config, worlds []*world, t *Table) (err error) {
	for round := range c.Rounds {
		for i := range worlds {
			w := worlds[(round+i)%len(worlds)] // who is first alternates
			fmt.Fprintf(c.Progress, "round %d of %d: %s\n", round+1, c.Rounds, w.name())
			if err := w.round(c, t); err != nil {
				return fmt.Errorf("%s: %w", w.name(), err)
			}
		}
	}
	if c.Only != "" {
		return nil
	}
	for _, w := range worlds {
		if err := w.idle(c, t); err != nil {
			return fmt.Errorf("%s: %w", w.name(), err)
		}
	}
	if len(worlds) == 1 {
		return nil
	}
	for round := range min(c.Rounds, 3) {
		for _, n := range c.Pauses {
			fmt.Fprintf(c.Progress, "kill %d with %d connections\n", round+1, n)
			t.row(pauseMetric(n))
			if e := worlds[1].pause(n, t); e != nil {
				err = errors.Join(err, fmt.Errorf("kill with %d connections: %w", n, e))
			}
		}
	}
	return err
}

func (w *world) name() string {
	if w.protected {
		return "ftnet"
	}
	return "plain"
}

func (w *world) round(c Config, t *Table) (err error) {
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	// One transfer that does not count: connections grow their buffers, the
	// log its memory, which it keeps. A virtual machine may have to ask its
	// host for each page, at a fraction of the speed of memory.
	if _, err := w.do(Job{Kind: "upload", Bytes: c.Bytes}); err != nil {
		return err
	}
	if c.Only != "" {
		return w.bulk(c.Only, c.Bytes, t)
	}
	for _, kind := range []string{"upload", "download"} {
		if err := w.bulk(kind, c.Bytes, t); err != nil {
			return err
		}
	}
	r, err := w.do(Job{Kind: "echo", Count: c.Echoes})
	if err != nil {
		return err
	}
	t.add(w.protected, echoP50, r.P50)
	t.add(w.protected, echoP99, r.P99)
	if r, err = w.do(Job{Kind: "connect", For: c.Connect}); err != nil {
		return err
	}
	t.add(w.protected, connects, r.PerSec)
	return nil
}

// bulk measures one transfer and what it costs in CPU time.
func (w *world) bulk(kind string, n int64, t *Table) error {
	before, err := w.cpu()
	if err != nil {
		return err
	}
	r, err := w.do(Job{Kind: kind, Bytes: n})
	if err != nil {
		return err
	}
	after, err := w.cpu()
	if err != nil {
		return err
	}
	gib := float64(n) / (1 << 30)
	t.add(w.protected, metric(kind, speed), float64(n)/(1<<20)/r.Seconds)
	t.add(w.protected, metric(kind, cpuSystem), (after.system-before.system)/gib)
	t.add(w.protected, metric(kind, cpuServer), (after.server-before.server)/gib)
	t.row(metric(kind, cpuEngine))
	if w.protected {
		t.add(true, metric(kind, cpuEngine), (after.engine-before.engine)/gib)
	}
	t.add(w.protected, metric(kind, cpuClient), r.CPU/gib)
	return nil
}

// usage is CPU time in seconds.
type usage struct{ system, server, engine float64 }

func (w *world) cpu() (u usage, err error) {
	if u.system, err = systemCPU(); err != nil {
		return u, err
	}
	if u.server, err = processCPU(int(w.server.Load())); err != nil || !w.protected {
		return u, err
	}
	u.engine, err = processCPU(w.cmd.Process.Pid)
	return u, err
}

// idle measures what connections that do nothing cost.
func (w *world) idle(c Config, t *Table) (err error) {
	fmt.Fprintf(c.Progress, "%d idle connections: %s\n", c.Idle, w.name())
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	// The first connections make the engine allocate what it keeps for good.
	if _, err := w.do(Job{Kind: "echo", Count: 1000}); err != nil {
		return err
	}
	before, err := w.memory()
	if err != nil {
		return err
	}
	crowd, err := w.client(Job{Kind: "idle", Count: c.Idle})
	if err != nil {
		return err
	}
	if err := crowd.ready(); err != nil {
		return err
	}
	if w.protected {
		with, err := w.memory()
		if err != nil {
			return err
		}
		t.add(true, idleMemory, float64(with.engine-before.engine)/float64(c.Idle))
		t.add(true, idleLog, float64(with.log-before.log)/float64(c.Idle))
	}
	r, err := w.do(Job{Kind: "echo", Count: c.Echoes})
	if err != nil {
		return err
	}
	t.add(w.protected, crowdedP50, r.P50)
	if err := crowd.proceed(); err != nil {
		return err
	}
	_, err = crowd.result()
	return err
}

// pause measures how long clients wait when the server is killed once.
func (w *world) pause(n int, t *Table) (err error) {
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	longest, err := w.longestPause(Load{Connections: n})
	if err == nil {
		t.add(true, pauseMetric(n), longest)
	}
	return err
}

// longestPause kills the server under load and returns the longest wait for a
// reply, in milliseconds.
func (w *world) longestPause(l Load) (float64, error) {
	clients, err := w.client(Job{Kind: "pause", Count: l.Connections, Bytes: l.Bytes})
	if err != nil {
		return 0, err
	}
	if err := clients.ready(); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // the requests go on: this is what is disturbed
	if err := w.kill(); err != nil {
		return 0, err
	}
	if err := clients.proceed(); err != nil {
		return 0, err
	}
	r, err := clients.result()
	if err == nil && r.Errors > 0 {
		err = fmt.Errorf("%d of %d connections saw an error", r.Errors, l.Connections)
	}
	return r.Longest, err
}

func metric(kind, what string) string { return strings.TrimSpace(kind + " " + what) }
