package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	all := slices.DeleteFunc(kinds(dir), func(k kind) bool { return !strings.Contains(k.name, c.LogKind) })
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
	if err := r.stream(w); err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	var before, after float64
	for range 2 { // the first does not count
		if before, err = systemCPU(); err != nil {
			return err
		}
		if r.plainRate, err = r.upload(w); err != nil {
			return err
		}
		if after, err = systemCPU(); err != nil {
			return err
		}
	}
	r.table.add(false, plainCPU, (after-before)*(1<<30)/float64(r.Bytes))
	echo, err := w.do(Job{Kind: "echo", Count: r.Echoes})
	if err != nil {
		return err
	}
	for _, k := range r.kinds {
		r.table.add(false, k.row(uploadOf), r.plainRate)
		r.table.add(false, k.row(echoOf), echo.P50)
		r.table.add(false, k.row(echo99Of), echo.P99)
	}
	return nil
}

// upload uploads once and returns MiB/s.
func (r *logRound) upload(w *world) (float64, error) {
	logbench.AwaitQuiet(r.Quiet)
	u, err := w.do(Job{Kind: "upload", Bytes: r.Bytes})
	if err != nil {
		return 0, err
	}
	return float64(r.Bytes) / (1 << 20) / u.Seconds, nil
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
	// What comes first does not count: memory and files that were never used
	// before cost a virtual machine more than what is to be measured.
	if _, err := r.upload(w); err != nil {
		return err
	}
	before, err := cpuOf(w, server)
	if err != nil {
		return err
	}
	up, err := r.upload(w)
	if err != nil {
		return err
	}
	after, err := cpuOf(w, server)
	if err != nil {
		return err
	}
	echo, err := w.do(Job{Kind: "echo", Count: r.Echoes})
	if err != nil {
		return err
	}
	gib := float64(r.Bytes) / (1 << 30)
	r.table.add(true, k.row(cpuEngine), (after.engine-before.engine)/gib)
	if server != nil {
		r.table.add(true, k.row(cpuLogServer), (after.logServer-before.logServer)/gib)
	}
	r.table.add(true, k.row(uploadOf), up)
	r.table.add(true, k.row(echoOf), echo.P50)
	r.table.add(true, k.row(echo99Of), echo.P99)
	if k.url != "memory:" && k.store == "" {
		r.table.add(true, diskShare, up/min(r.plainRate, r.disk))
	}
	return nil
}

// logUsage is CPU time in seconds.
type logUsage struct{ engine, logServer float64 }

func cpuOf(w *world, server *logServer) (u logUsage, err error) {
	if u.engine, err = processCPU(w.cmd.Process.Pid); err != nil || server == nil {
		return u, err
	}
	u.logServer, err = server.cpu()
	return u, err
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
