// Command pebblebench measures logs on pebble, with and without blob files; see
// package logbench. It writes some gibibytes below the directory.
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
	inline := flag.Bool("inline", false, "measure pebble without blob files too")
	var options logbench.Options
	options.Register(flag.CommandLine)
	flag.Parse()
	if err := run(*dir, *inline, &options); err != nil {
		fmt.Fprintln(os.Stderr, "pebblebench:", err)
		os.Exit(1)
	}
}

func run(dir string, inline bool, options *logbench.Options) error {
	if dir == "" {
		return errors.New("no -dir")
	}
	targets := []logbench.Target{target(dir, "pebble", false)}
	if inline {
		targets = append(targets, target(dir, "pebble, inline", true))
	}
	for _, t := range targets {
		if err := os.MkdirAll(t.Dir, 0o700); err != nil {
			return err
		}
	}
	return options.Main(targets, os.Stdout, os.Stderr)
}

func target(dir, name string, inline bool) logbench.Target {
	dir = filepath.Join(dir, name)
	return logbench.Target{Name: name, Dir: dir, Open: func() (logserver.Log, error) {
		return pebblelog.Open(dir, &pebblelog.Config{Quota: 2 << 30, QuotaTotal: 4 << 30, Inline: inline})
	}}
}
