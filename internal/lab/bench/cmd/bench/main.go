// Command bench prints what ftnet costs beside plain sockets; see package
// bench. It needs root, the Go toolchain and the module's source as working
// directory, and leaves nothing behind.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/lab/bench"
)

func main() {
	quick := flag.Bool("quick", false, "measure little: shows that everything works, not how fast")
	plain := flag.Bool("plain", false, "measure only the plain half")
	against := flag.String("against", "", "measure ftnet as of this `commit` too, in the same rounds")
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
	table, err := run(*quick, *plain, *verbose, *against, bench.Config{
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
func run(quick, plain, verbose bool, against string, chosen bench.Config) (*bench.Table, error) {
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
	var other bench.Programs
	if against != "" && !plain {
		if other, err = buildCommit(dir, against); err != nil {
			return nil, fmt.Errorf("-against %s: %w", against, err)
		}
		other.Client = programs.Client
		other.Plain = programs.Plain
	}
	config := bench.Full(programs)
	if quick {
		config = bench.Quick(programs)
	}
	config.Against = other
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
	if p.Plain, err = compile(".", dir, "internal/lab/bench/cmd/plainserver"); err != nil || plain {
		return p, err
	}
	err = buildFtnet(&p, ".", dir)
	return p, err
}

// buildCommit compiles ftnet and the server on it as another commit has them. The
// server's own protocol, which this commit's clients speak, must be the same there.
func buildCommit(dir, commit string) (p bench.Programs, err error) {
	name, err := exec.Command("git", "rev-parse", "--short", "--verify", commit+"^{commit}").Output()
	if err != nil {
		return p, fmt.Errorf("git rev-parse: %w", err)
	}
	p.Name = strings.TrimSpace(string(name))
	own := filepath.Join(dir, p.Name)
	tree := filepath.Join(own, "tree")
	if out, err := exec.Command("git", "worktree", "add", "--detach", tree, p.Name).CombinedOutput(); err != nil {
		return p, fmt.Errorf("git worktree: %w: %s", err, out)
	}
	err = buildFtnet(&p, tree, own)
	if out, e := exec.Command("git", "worktree", "remove", "--force", tree).CombinedOutput(); e != nil {
		err = errors.Join(err, fmt.Errorf("git worktree: %w: %s", e, out))
	}
	return p, err
}

// buildFtnet compiles what is protected from the source in tree into dir.
func buildFtnet(p *bench.Programs, tree, dir string) (err error) {
	p.RuntimeDir = filepath.Join(dir, "run")
	server := "internal/lab/bench/cmd/benchserver"
	if _, err := os.Stat(filepath.Join(tree, server)); errors.Is(err, os.ErrNotExist) {
		server = "internal/bench/cmd/benchserver" // of a commit before there was a lab
	}
	if p.Server, err = compile(tree, dir, server); err != nil {
		return err
	}
	p.Ftnet, err = compile(tree, dir, "cmd/ftnet")
	return err
}

// compile builds one program of the source in tree and returns its path in dir.
func compile(tree, dir, pkg string) (string, error) {
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", path, "./"+pkg)
	cmd.Dir, cmd.Stderr = tree, os.Stderr
	return path, cmd.Run()
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown kernel"
	}
	return "Linux " + string(release[:max(0, len(release)-1)])
}
