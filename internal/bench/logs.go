package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ftnet/ftnet/internal/bench/logbench"
	"github.com/ftnet/ftnet/internal/netlab"
)

// The log server of the measurements is in the client's namespace: what the
// engine sends it crosses the same pair of interfaces as what the client sends.
const logPort = "7070"

// kind is a log to be measured. Its store, if it has one, is that of a log
// server.
type kind struct {
	name, url, store string
}

// kinds returns the logs that are measured; files are below dir.
func kinds(dir string) []kind {
	remote := "ftlog://" + netlab.Client4.String() + ":" + logPort
	return []kind{
		{name: "memory log", url: "memory:"},
		{name: "disk log", url: "file://" + filepath.Join(dir, "engine")},
		{name: "remote log in memory", url: remote, store: "memory:"},
		{name: "remote log on disk", url: remote, store: "file://" + filepath.Join(dir, "server")},
	}
}

// logs measures the same uploads and round trips with each log, and plainly, in
// turn; and how long each log takes to make something stable.
func logs(c Config, worlds []*world, t *Table) (err error) {
	if len(worlds) < 2 {
		return nil
	}
	dir, err := os.MkdirTemp(c.LogDir, "ftnet-bench-log-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tls, err := makeCerts(c.Programs.Ftnet, filepath.Join(dir, "tls"))
	if err != nil {
		return err
	}
	all := kinds(dir)
	for round := range c.Rounds {
		fmt.Fprintf(c.Progress, "logs, round %d of %d\n", round+1, c.Rounds)
		r := logRound{Config: c, kinds: all, tls: tls, table: t}
		if err := r.plain(worlds[0], dir); err != nil {
			return fmt.Errorf("plain: %w", err)
		}
		for i := range all {
			k := all[(round+i)%len(all)]
			fmt.Fprintf(c.Progress, "  %s\n", k.name)
			if e := r.measure(worlds[1], k); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", k.name, e))
			}
		}
	}
	return err
}

// logRound is one round of all logs.
type logRound struct {
	Config
	kinds []kind
	tls   LogAt // the certificates of an engine
	table *Table

	plainRate, disk float64 // MiB/s
}

// plain measures what the logs are compared with.
func (r *logRound) plain(w *world, dir string) (err error) {
	for _, k := range r.kinds {
		k.rows(r.table)
	}
	// A file that does not count: the disk may be one whose host has to find room.
	for range 2 {
		logbench.AwaitQuiet(r.Quiet)
		if r.disk, _, err = logbench.DiskRates(dir, min(r.Bytes, 512<<20)); err != nil {
			return err
		}
	}
	r.table.add(false, diskRate, r.disk)
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	up, echo, err := r.transfers(w)
	if err != nil {
		return err
	}
	r.plainRate = up
	for _, k := range r.kinds {
		r.table.add(false, k.row(uploadOf), up)
		r.table.add(false, k.row(echoOf), echo.P50)
		r.table.add(false, k.row(echo99Of), echo.P99)
	}
	return nil
}

// transfers uploads, the first time without counting, and measures round trips.
func (r *logRound) transfers(w *world) (up float64, echo Result, err error) {
	for range 2 {
		logbench.AwaitQuiet(r.Quiet)
		u, err := w.do(Job{Kind: "upload", Bytes: r.Bytes})
		if err != nil {
			return 0, echo, err
		}
		up = float64(r.Bytes) / (1 << 20) / u.Seconds
	}
	echo, err = w.do(Job{Kind: "echo", Count: r.Echoes})
	return up, echo, err
}

// measure measures one log.
func (r *logRound) measure(w *world, k kind) (err error) {
	log := LogAt{URL: k.url}
	var server *logServer
	if k.store != "" {
		log.CA, log.Cert, log.Key = r.tls.CA, r.tls.Cert, r.tls.Key
		if server, err = w.startLogServer(k.store, filepath.Dir(r.tls.CA)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
	}
	if err := r.protected(w, k, log, server); err != nil {
		return err
	}
	// The engine has given the log up; its namespace is where the log is used.
	p, err := w.run(w.lab.Server, Job{Kind: "upcall", Log: log, For: 2 * time.Second})
	if err != nil {
		return err
	}
	r.table.add(true, k.row(upcall50Of), p.P50)
	r.table.add(true, k.row(upcall99Of), p.P99)
	return nil
}

// protected measures transfers through an engine with this log.
func (r *logRound) protected(w *world, k kind, log LogAt, server *logServer) (err error) {
	if err := w.startWith(log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	var before, after float64
	if server != nil {
		if before, err = server.cpu(); err != nil {
			return err
		}
	}
	up, echo, err := r.transfers(w)
	if err != nil {
		return err
	}
	if server != nil {
		if after, err = server.cpu(); err != nil {
			return err
		}
		gib := 2 * float64(r.Bytes) / (1 << 30) // two uploads; the echoes are little beside them
		r.table.add(true, k.row(cpuLogServer), (after-before)/gib)
	}
	r.table.add(true, k.row(uploadOf), up)
	r.table.add(true, k.row(echoOf), echo.P50)
	r.table.add(true, k.row(echo99Of), echo.P99)
	if k.url != "memory:" && k.store == "" {
		r.table.add(true, diskShare, up/min(r.plainRate, r.disk))
	}
	return nil
}

// makeCerts makes an authority in dir with the certificates of a log server and
// an engine, and returns the engine's.
func makeCerts(ftnet, dir string) (LogAt, error) {
	for _, args := range [][]string{
		{"init", dir},
		{"server", dir, netlab.Client4.String()},
		{"client", dir, "--service", "*"},
	} {
		if out, err := exec.Command(ftnet, append([]string{"certs"}, args...)...).CombinedOutput(); err != nil {
			return LogAt{}, fmt.Errorf("ftnet certs %s: %w: %s", args[0], err, out)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	return LogAt{CA: file("ca.pem"), Cert: file("client.pem"), Key: file("client.key")}, nil
}
