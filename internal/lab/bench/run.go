package bench

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
)

// Config says how much is measured.
type Config struct {
	Programs   Programs
	Against    Programs      // of another commit, measured in the same rounds; without Ftnet: none
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
var Parts = []string{"upload", "download", "connect", "idle", "logs", "roll-forward", "loaded-pause", "closing"}

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

// Run measures and returns the table. An error of a protected world leaves what was
// measured until then in the table.
func Run(c Config) (t *Table, err error) {
	t = &Table{against: c.Against.Name}
	var worlds []*world // the first is the plain one
	defer func() {
		for _, w := range worlds {
			err = errors.Join(err, w.close())
		}
	}()
	c.Programs.Name = "ftnet"
	for of, p := range []Programs{plainTCP: {Client: c.Programs.Client, Plain: c.Programs.Plain, Name: "plain"}, against: c.Against, ftnet: c.Programs} {
		if column(of) != plainTCP && p.Ftnet == "" {
			continue
		}
		w, e := openWorld(c, column(of), p)
		if e != nil {
			return t, e
		}
		worlds = append(worlds, w)
	}
	if !slices.Contains(Parts[4:], c.Only) {
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

// turns yields all worlds; who is first alternates by rounds.
func turns(worlds []*world, round int) iter.Seq[*world] {
	return func(yield func(*world) bool) {
		for i := range worlds {
			if !yield(worlds[(round+i)%len(worlds)]) {
				return
			}
		}
	}
}

// first measures what a server on ftnet.Listen meets, beside the same server on
// net.Listen.
func first(c Config, worlds []*world, t *Table) (err error) {
	for round := range c.Rounds {
		for w := range turns(worlds, round) {
			if c.Only == "idle" {
				break
			}
			fmt.Fprintf(c.Progress, "round %d of %d: %s\n", round+1, c.Rounds, w.name)
			if err := w.round(c, t); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	for round := range min(c.Rounds, 3) {
		for w := range turns(worlds, round) {
			if c.Only != "" && c.Only != "idle" {
				break
			}
			fmt.Fprintf(c.Progress, "%d idle connections: %s\n", c.Idle, w.name)
			if err := w.idle(c, t); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	if c.Only != "" {
		return nil
	}
	for round := range min(c.Rounds, 3) {
		for _, n := range c.Pauses {
			for w := range turns(worlds[1:], round) {
				fmt.Fprintf(c.Progress, "kill %d with %d connections: %s\n", round+1, n, w.name)
				t.row(pauseMetric(n))
				if e := w.pause(n, t); e != nil {
					err = errors.Join(err, fmt.Errorf("%s: kill with %d connections: %w", w.name, n, e))
				}
			}
		}
	}
	return err
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
	switch c.Only {
	case "":
	case "connect":
		return w.connects(c.Connect, t)
	default:
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
	t.add(w.column, echoP50, r.P50)
	t.add(w.column, echoP99, r.P99)
	return w.connects(c.Connect, t)
}

// connects measures how many connections a second are opened, used once and closed.
func (w *world) connects(d time.Duration, t *Table) error {
	r, err := w.do(Job{Kind: "connect", For: d})
	if err != nil {
		return err
	}
	t.add(w.column, connects, r.PerSec)
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
	t.add(w.column, metric(kind, speed), float64(n)/(1<<20)/r.Seconds)
	t.add(w.column, metric(kind, cpuSystem), (after.system-before.system)/gib)
	t.add(w.column, metric(kind, cpuServer), (after.server-before.server)/gib)
	t.row(metric(kind, cpuEngine))
	if w.protected {
		t.add(w.column, metric(kind, cpuEngine), (after.engine-before.engine)/gib)
	}
	t.add(w.column, metric(kind, cpuClient), r.CPU/gib)
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

// pause measures how long clients wait when the server is killed once.
func (w *world) pause(n int, t *Table) (err error) {
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	longest, err := w.longestPause(Load{Connections: n})
	if err == nil {
		t.add(w.column, pauseMetric(n), longest)
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
	defer clients.stop()
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
