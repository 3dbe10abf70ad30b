package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

// TestServeDeploysUnderLoad: two counters, one of each mode, are busy while the
// program of one and then of the other is replaced and the file reloaded. Their
// clients, and those that dial meanwhile, see nothing, and the other service
// is not restarted.
func TestServeDeploysUnderLoad(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	services := []struct {
		name, mode, built, installed string
		port, deploys                int
	}{
		{name: "own", mode: "listen", built: binary(t, "counter"), port: 7000},
		{name: "plain", mode: "unmodified", built: plainCounter(t), port: 7001},
	}
	var entries []string
	for i, v := range services {
		v.installed = filepath.Join(dir, v.name)
		deploy(t, v.built, v.installed, 0)

		entries = append(entries, serviceEntry(v.name, v.mode, v.port, []string{v.installed, "-listen", fmt.Sprint(":", v.port)}, nil))
		services[i] = v
	}
	s := serve(t, nil, entries...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	reports := map[string]*workload.Report{}
	replies := map[string]*atomic.Int64{}
	var mu sync.Mutex // guards reports
	run := func(name string, c workload.Counter) {
		n := new(atomic.Int64)
		replies[name] = n
		c.Dial, c.Reply = fromClient(s.rig), func(int, time.Duration) { n.Add(1) }
		wg.Go(func() {
			report := c.Run(ctx)
			mu.Lock()
			defer mu.Unlock()
			reports[name] = report
		})
	}
	for i, v := range services {
		run(v.name, workload.Counter{Address: families[0].address(v.port), Conns: 30, Seed: uint64(i), Pipeline: 3})
		run(v.name+", dialled", workload.Counter{Address: families[0].address(v.port), Conns: 2, Lines: 5, Redials: -1, Seed: uint64(10 + i)})
	}
	for round := range 4 {
		v := &services[round%2]
		pause(200 * time.Millisecond) // under load
		v.deploys++
		deploy(t, v.built, v.installed, v.deploys)
		s.says(v.name+": restarted through recovery, ", "reload")
	}
	for name, n := range replies {
		s.until(name+"'s clients have done enough", func() bool { return n.Load() >= 100 })
	}
	cancel()
	wg.Wait()
	for name, report := range reports {
		if err := report.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d connections, %d replies, longest pause %v", name, report.Conns, report.Lines, report.LongestPause)
	}
	for _, v := range services {
		d, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if p := programStatus(d, v.name); int(p.Process.Restarts) != v.deploys {
			t.Errorf("%s: %+v, want %d restarts", v.name, p.Process, v.deploys)
		}
	}
}

// deploy puts a program in a file's place that differs from the former one.
func deploy(t testing.TB, built, path string, version int) {
	t.Helper()
	b, err := os.ReadFile(built)
	if err == nil {
		b = append(b, byte(version)) // what follows the program is not looked at
		err = os.WriteFile(path+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}
