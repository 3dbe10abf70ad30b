// Command bench prints what ftnet costs beside plain sockets; see package
// bench. It needs root, the Go toolchain and the module's source as working
// directory, and leaves nothing behind.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/bench"
)

func main() {
	quick := flag.Bool("quick", false, "measure little: shows that everything works, not how fast")
	plain := flag.Bool("plain", false, "measure only the plain half")
	rounds := flag.Int("rounds", 0, "number of rounds (default 7, or 1 with -quick)")
	only := flag.String("only", "", "measure one `part` and nothing else: "+strings.Join(bench.Parts, ", "))
	check := flag.Bool("check", false, "exit with status 2 if a figure misses its bound")
	verbose := flag.Bool("v", false, "show what the programs print")
	logDir := flag.String("logdir", "", "`directory` where logs keep their files, on the disk to be measured (default that for temporary files)")
	kind := flag.String("log", "", "measure only the logs whose `name` contains this: memory log, disk log, remote log in memory, remote log on disk")
	congestion := flag.String("congestion", "", "the congestion control of clients, such as reno or bbr (default the system's)")
	quiet := flag.Duration("quiet", 0, "wait at most so long before each measurement with logs until the machine has nothing else to do")
	client := flag.String("client", "", "used by the driver itself: run one `job` as a client")
	flag.Parse()
	if *client != "" {
		if err := bench.ClientMain(*client); err != nil {
			fail(err)
		}
		return
	}
	if *only != "" && !slices.Contains(bench.Parts, *only) {
		fail(fmt.Errorf("-only %s: not one of %s", *only, strings.Join(bench.Parts, ", ")))
	}
	table, err := run(*quick, *plain, *verbose, bench.Config{
		Rounds: *rounds, Only: *only, LogKind: *kind, LogDir: *logDir, Quiet: *quiet, Congestion: *congestion,
	})
	if table != nil {
		table.Write(os.Stdout)
	}
	if err != nil {
		fail(err)
	}
	if short := table.Short(); *check && len(short) > 0 {
		fmt.Fprintln(os.Stderr, "bench: missed:", short)
		os.Exit(2)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// run measures what chosen says; zero fields of it mean what is usual.
func run(quick, plain, verbose bool, chosen bench.Config) (*bench.Table, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("needs root for network namespaces and BPF")
	}
	dir, err := os.MkdirTemp("", "ftnet-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	programs, err := build(dir, plain)
	if err != nil {
		return nil, err
	}
	config := bench.Full(programs)
	if quick {
		config = bench.Quick(programs)
	}
	config.Only, config.LogKind, config.LogDir, config.Quiet, config.Congestion =
		chosen.Only, chosen.LogKind, chosen.LogDir, chosen.Quiet, chosen.Congestion
	if chosen.Rounds > 0 {
		config.Rounds = chosen.Rounds
	}
	if err := bench.RaiseFileLimit(max(config.Idle, slices.Max(config.Pauses))); err != nil {
		return nil, err
	}
	config.Progress = io.Discard
	if verbose {
		config.Progress = os.Stderr
	}
	fmt.Printf("%s/%s, %d CPUs, %s, veth pair, MTU 1500, %d rounds\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), kernel(), config.Rounds)
	return bench.Run(config)
}

// build compiles the programs that a run starts.
func build(dir string, plain bool) (p bench.Programs, err error) {
	if p.Client, err = os.Executable(); err != nil {
		return p, err
	}
	compile := func(name string, pkg string) (string, error) {
		path := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-o", path, pkg)
		cmd.Stderr = os.Stderr
		return path, cmd.Run()
	}
	const servers = "github.com/ftnet/ftnet/internal/bench/cmd/"
	if p.Plain, err = compile("plainserver", servers+"plainserver"); err != nil || plain {
		return p, err
	}
	if p.Server, err = compile("benchserver", servers+"benchserver"); err != nil {
		return p, err
	}
	p.RuntimeDir = filepath.Join(dir, "run")
	p.Ftnet, err = compile("ftnet", "github.com/ftnet/ftnet/cmd/ftnet")
	return p, err
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + string(release[:max(0, len(release)-1)])
}
