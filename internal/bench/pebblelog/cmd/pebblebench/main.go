// Command pebblebench measures the log in logserver/disk and logs on pebble side
// by side; see package logbench. It writes some gibibytes below the directory.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ftnet/ftnet/internal/bench/logbench"
	"github.com/ftnet/ftnet/internal/bench/pebblelog"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk"
)

func main() {
	dir := flag.String("dir", "", "`directory` for the logs, which is made and must be empty")
	variants := flag.Bool("variants", false, "measure pebble without blob files, and with ingested tables, too")
	var options logbench.Options
	options.Register(flag.CommandLine)
	flag.Parse()
	if err := run(*dir, *variants, &options); err != nil {
		fmt.Fprintln(os.Stderr, "pebblebench:", err)
		os.Exit(1)
	}
}

func run(dir string, variants bool, options *logbench.Options) error {
	if dir == "" {
		return errors.New("no -dir")
	}
	targets := []logbench.Target{own(filepath.Join(dir, "disk")), target(dir, "pebble", pebblelog.Config{})}
	if variants {
		targets = append(targets,
			target(dir, "pebble, no blobs", pebblelog.Config{Inline: true}),
			target(dir, "pebble, ingest", pebblelog.Config{Inline: true, Ingest: true}))
	}
	for _, t := range targets {
		if err := os.MkdirAll(t.Dir, 0o700); err != nil {
			return err
		}
	}
	return options.Main(targets, os.Stdout, os.Stderr)
}

// Room for all that is measured.
const (
	quota      = 2 << 30
	quotaTotal = 6 << 30
)

func own(dir string) logbench.Target {
	return logbench.Target{Name: "logserver/disk", Dir: dir, Open: func() (logserver.Log, error) {
		return disk.Open(dir, &disk.Config{Quota: quota, QuotaTotal: quotaTotal})
	}}
}

func target(dir, name string, config pebblelog.Config) logbench.Target {
	config.Quota, config.QuotaTotal = quota, quotaTotal
	dir = filepath.Join(dir, name)
	return logbench.Target{Name: name, Dir: dir, Open: func() (logserver.Log, error) {
		return pebblelog.Open(dir, &config)
	}}
}
