// Command pebblebench measures logs on pebble; see package logbench. It writes
// some gibibytes below the directory.
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
	targets := []logbench.Target{target(dir, "pebble", pebblelog.Config{})}
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

func target(dir, name string, config pebblelog.Config) logbench.Target {
	config.Quota, config.QuotaTotal = 2<<30, 4<<30
	dir = filepath.Join(dir, name)
	return logbench.Target{Name: name, Dir: dir, Open: func() (logserver.Log, error) {
		return pebblelog.Open(dir, &config)
	}}
}
