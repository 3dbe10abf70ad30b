package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/status"
)

// TestReboot: the server's host loses its power, three times under load, and comes
// back with nothing but its disk: the gate first, then the addresses. The clients'
// connections go on.
func TestReboot(t *testing.T) {
	for _, m := range counters(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			reboot(t, onDisk, m, 3)
		})
	}
}

// TestOtherHost: the server's host goes for good. Another one, which has nothing
// of it but the server's binary and the log on a third host, takes over: all of its
// 100 connections, every reply right.
func TestOtherHost(t *testing.T) {
	for _, m := range counters(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			reboot(t, remote, m, 1, "--recover")
		})
	}
}

// reboot has the host come back with more flags.
func reboot(t *testing.T, b backend, m mode, times int, more ...string) {
	r := prepare(t, options{})
	m = m.over(b, r)
	m.spawn(r)
	f := families[0]
	clients := workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}
	report := r.under(clients, func() {
		for range times {
			before := logged(r.recovered())
			r.waitStatus("clients are served", func(d *status.Document) bool { return logged(d) > before+20000 })
			if err := r.lab.Reboot(); err != nil {
				t.Fatal(err)
			}
			_ = r.wait() // killed
			r.forget()
			m.with(more...).start(r)
			pause(200 * time.Millisecond)
			if err := r.lab.MoveAddresses(); err != nil {
				t.Fatal(err)
			}
			r.waitFor(time.Minute, "all connections live", func(d *status.Document) bool {
				return len(d.Services) > 0 && d.Services[0].Recovered >= 100
			})
		}
	})
	t.Logf("%d connections, %d replies, longest pause %v", report.Conns, report.Lines, report.LongestPause)
}

// forget empties what a reboot empties: file systems in memory.
func (r *rig) forget() {
	r.t.Helper()
	r.runtime = publicDir(r.t)
	if err := os.RemoveAll(filepath.Join(r.bpffs, "ftnet")); err != nil {
		r.t.Fatal(err)
	}
}

// TestRebootWithoutLog: the host comes back while its log server is away. Nobody
// knows which connections there are: all of the service's packets are held, until
// the log server is there.
func TestRebootWithoutLog(t *testing.T) {
	r := prepare(t, options{})
	l := startLogServer(r, "counter-plain")
	o := unmodifiedOptions(7000)
	o.flags = append(o.flags, l.flags()...)
	server := plainCounter(t)
	r.spawn(o, server, "-listen", ":7000")
	f := families[0]
	clients := workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}
	report := r.under(clients, func() {
		before := logged(r.recovered())
		r.waitStatus("clients are served", func(d *status.Document) bool { return logged(d) > before+20000 })
		if err := r.lab.Reboot(); err != nil {
			t.Fatal(err)
		}
		_ = r.wait() // killed
		l.end(syscall.SIGKILL)
		r.forget()
		waiting := o
		waiting.nowait = true
		r.start(waiting, server, "-listen", ":7000")
		r.waitFilters(4)
		pause(100 * time.Millisecond) // until they hold
		if err := r.lab.MoveAddresses(); err != nil {
			t.Fatal(err)
		}
		pause(3 * time.Second)
		l.start()
		r.waitFor(time.Minute, "all connections live", func(d *status.Document) bool {
			return len(d.Services) > 0 && d.Services[0].Recovered >= 100
		})
	})
	t.Logf("%d connections, %d replies, longest pause %v", report.Conns, report.Lines, report.LongestPause)
}

// waitFilters waits until the gate is there.
func (r *rig) waitFilters(n int) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(r.filters()) < n; time.Sleep(statusPoll) {
		if time.Now().After(deadline) {
			r.t.Fatalf("filters: %v", r.filters())
		}
	}
}
