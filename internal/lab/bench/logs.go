package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/lab/bench/logbench"
	"github.com/ftnet/ftnet/internal/lab/netlab"
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
		for i := range all {
			k := all[(round+i)%len(all)]
			fmt.Fprintf(c.Progress, "  %s\n", k.name)
			m := logMeasurement{Config: c, kind: k, tls: tls, table: t, dir: dir}
			if e := m.run(worlds, round); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", k.name, e))
			}
		}
	}
	return err
}

// ownFiles is the URL of a log whose files no other commit has written.
func (w *world) ownFiles(url string) string {
	if strings.HasPrefix(url, "file:") {
		return url + "-" + w.name
	}
	return url
}

// logMeasurement is one log in one round, beside plain TCP and what else the
// log's figures are compared with: a machine's speed changes within minutes.
type logMeasurement struct {
	Config
	kind
	tls   LogAt // the certificates of an engine
	table *Table
	dir   string // for files

	plainRate, disk float64 // MiB/s
}

func (r *logMeasurement) run(worlds []*world, round int) error {
	r.rows(r.table)
	if r.onDisk() {
		if err := r.diskAlone(); err != nil {
			return err
		}
	}
	if r.store != "" {
		if err := r.stream(worlds[1]); err != nil {
			return fmt.Errorf("TLS alone: %w", err)
		}
	}
	if err := r.plain(worlds[0]); err != nil {
		return fmt.Errorf("plain: %w", err)
	}
	for w := range turns(worlds[1:], round) {
		if err := r.measure(w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// diskAlone measures the disk.
func (r *logMeasurement) diskAlone() (err error) {
	// A file that does not count: the disk may be one whose host has to find room.
	for range 2 {
		logbench.AwaitQuiet(r.Quiet)
		if r.disk, _, err = logbench.DiskRates(r.dir, min(r.Bytes, 512<<20)); err != nil {
			return err
		}
	}
	r.table.add(plainTCP, diskRate, r.disk)
	return nil
}

// plain measures the same without an engine.
func (r *logMeasurement) plain(w *world) (err error) {
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
	echo, err := w.do(Job{Kind: "echo", Count: r.Echoes})
	if err != nil {
		return err
	}
	if r.store != "" {
		r.table.add(plainTCP, plainCPU, (after-before)*(1<<30)/float64(r.Bytes))
	}
	r.table.add(plainTCP, r.row(uploadOf), r.plainRate)
	r.table.add(plainTCP, r.row(echoOf), echo.P50)
	r.table.add(plainTCP, r.row(echo99Of), echo.P99)
	return nil
}

// upload uploads once and returns MiB/s.
func (r *logMeasurement) upload(w *world) (float64, error) {
	logbench.AwaitQuiet(r.Quiet)
	u, err := w.do(Job{Kind: "upload", Bytes: r.Bytes})
	if err != nil {
		return 0, err
	}
	return float64(r.Bytes) / (1 << 20) / u.Seconds, nil
}

// measure measures the log.
func (r *logMeasurement) measure(w *world) (err error) {
	log := LogAt{URL: w.ownFiles(r.url)}
	var server *logServer
	if r.store != "" {
		log.CA, log.Cert, log.Key = r.tls.CA, r.tls.Cert, r.tls.Key
		if server, err = w.startLogServer(w.ownFiles(r.store), filepath.Dir(r.tls.CA)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
	}
	if err := r.protected(w, log, server); err != nil {
		return err
	}
	// The engine has given the log up; its namespace is where the log is used.
	p, err := w.run(w.lab.Server, Job{Kind: "upcall", Log: log, For: 2 * time.Second})
	if err != nil {
		return err
	}
	r.table.add(w.column, r.row(upcall50Of), p.P50)
	r.table.add(w.column, r.row(upcall99Of), p.P99)
	return nil
}

// protected measures transfers through an engine with this log.
func (r *logMeasurement) protected(w *world, log LogAt, server *logServer) (err error) {
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
	r.table.add(w.column, r.row(cpuEngine), (after.engine-before.engine)/gib)
	if server != nil {
		r.table.add(w.column, r.row(cpuLogServer), (after.logServer-before.logServer)/gib)
	}
	r.table.add(w.column, r.row(uploadOf), up)
	r.table.add(w.column, r.row(echoOf), echo.P50)
	r.table.add(w.column, r.row(echo99Of), echo.P99)
	if r.onDisk() {
		r.table.add(w.column, diskShare, up/min(r.plainRate, r.disk))
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
