package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestUnmodifiedWorkerCrash: a worker's crash recovers the connections that it
// held, and those of the others are not touched. The main process goes on.
func TestUnmodifiedWorkerCrash(t *testing.T) {
	for _, mode := range []string{"fork", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, mode, nil)
			r.workersReady(mode)
			clients := r.clients(9)
			main := r.recovered().Process.PID
			for range 3 {
				before := r.connections(clients)
				victim := r.holder(clients[0])
				var lost []*client
				for _, c := range clients {
					if r.holder(c) == victim {
						lost = append(lost, c)
					}
				}
				r.killWorker(victim)
				for i, c := range clients {
					c.echo(fmt.Sprint("after ", i))
				}
				for i, c := range r.connections(clients) {
					want := before[i].Recoveries
					if slices.Contains(lost, clients[i]) {
						want++
					}
					if c.Recoveries != want {
						t.Errorf("connection %d was recovered %d times, want %d", i, c.Recoveries, want)
					}
				}
				r.waitOutput(fmt.Sprintf("pid=%d exit=\"killed by signal 9 (killed)\" connections=%d", victim, len(lost)))
			}
			d := r.recovered()
			if p := d.Programs[0]; p.WorkerCrashes != 3 || p.Process.PID != main || p.Process.Restarts != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestUnmodifiedWorkerEndsSlowly: a crashed worker still has its listener when its connections have been
// closed, for the kernel closes what it has from the last file back. What is opened again in its queue
// goes with it.
func TestUnmodifiedWorkerEndsSlowly(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "reuseport", nil, "-heavy", "512") // some 70 ms
	r.workersReady("reuseport")
	clients := r.clients(9)
	r.killWorker(r.holder(clients[0]))
	for i, c := range clients {
		c.echo(fmt.Sprint("after ", i))
	}
	r.waitStatus("the crash is counted", func(d *status.Document) bool { return d.Programs[0].WorkerCrashes == 1 })
}

// workersReady waits until as many workers as there are by default listen.
func (r *rig) workersReady(mode string) {
	r.t.Helper()
	if mode == "fork" || mode == "plain" { // it listens itself
		return
	}
	limit := time.After(20 * time.Second)
	for {
		s, more := r.out.next()
		if strings.Count(s, "is ready") >= 3 {
			return
		}
		select {
		case <-more:
		case <-limit:
			r.t.Fatal("the workers are not ready")
		}
	}
}

// connections returns what the status page says of them.
func (r *rig) connections(clients []*client) (list []status.Connection) {
	r.t.Helper()
	for _, c := range clients {
		list = append(list, r.connection(c))
	}
	return list
}

// TestUnmodifiedMainCrash: with the main process all others end, and all
// connections are recovered.
func TestUnmodifiedMainCrash(t *testing.T) {
	for _, mode := range []string{"plain", "fork", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, mode, nil)
			r.workersReady(mode)
			clients := r.clients(9)
			for round := range 4 {
				old := r.holder(clients[0])
				r.crash()
				for i, c := range clients {
					c.echo(fmt.Sprint("round ", round, " client ", i))
				}
				if err := syscall.Kill(old, 0); err != syscall.ESRCH {
					t.Errorf("process %d of before the crash: %v", old, err)
				}
			}
			for i, c := range r.connections(clients) {
				if c.Recoveries != 4 || c.Protection != status.Protected || c.How != "on the wire, strict" {
					t.Errorf("connection %d: %+v", i, c)
				}
			}
		})
	}
}

// TestUnmodifiedWorkersUnderLoad: clients talk and dial while workers and,
// now and then, the main process are killed.
func TestUnmodifiedWorkersUnderLoad(t *testing.T) {
	for _, mode := range []string{"fork", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, mode, []string{"--restart-limit", "-1"})
			r.workersReady(mode)
			clients := r.clients(6)
			r.dialling(1, func() { // served and closed in every phase of a crash
				r.chatter(clients, func() {
					for i := range 20 {
						pause(50 * time.Millisecond)
						if i%5 == 4 {
							r.crash()
							continue
						}
						// Its number may belong to a process that has ended since.
						_ = syscall.Kill(r.holder(clients[i%len(clients)]), syscall.SIGKILL)
					}
					r.recovered()
				})
			})
			r.check(func(s *status.Service) bool { return s.Mismatches == 0 && s.Outages == 4 && s.Recovered >= 4*6 })
		})
	}
}

// TestUnmodifiedChildExits: a process that ends with status 0 has closed its
// connection on purpose, whatever it has left open.
func TestUnmodifiedChildExits(t *testing.T) {
	r := modeProbe(t, "fork", nil)
	clients := r.clients(3)
	clients[0].send("exit")
	clients[0].expectEOF()
	clients[1].send("close")
	clients[1].expectEOF()
	clients[2].send("abort")
	clients[2].expectReset()
	r.crash()
	for _, c := range r.clients(3) {
		c.send("exit")
		c.expectEOF()
	}
	if p := r.recovered().Programs[0]; p.WorkerCrashes != 0 {
		t.Errorf("%+v", p)
	}
	r.check(func(s *status.Service) bool { return s.Mismatches == 0 })
}

// TestUnmodifiedPoisonForChild: an input that crashes its process each time ends
// its own connection in the end, and no other.
func TestUnmodifiedPoisonForChild(t *testing.T) {
	r := modeProbe(t, "fork", nil)
	clients := r.clients(4)
	poison := clients[3]
	poison.send("crash")
	poison.SetDeadline(time.Now().Add(60 * time.Second))
	if b, err := poison.in.ReadByte(); err == nil {
		t.Errorf("got %q", b)
	}
	for i, c := range r.connections(clients[:3]) {
		clients[i].echo("still here")
		if c.Recoveries != 0 {
			t.Errorf("%+v", c)
		}
	}
	r.waitOutput("connection reset")
}

// TestUnmodifiedExecutesAnew: a process that executes itself anew has closed what
// it does not keep. It keeps the port, and its connections are protected.
func TestUnmodifiedExecutesAnew(t *testing.T) {
	r := modeProbe(t, "plain", nil)
	old := r.dial()
	old.echo("hello")
	pid := r.recovered().Process.PID
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	old.expectEOF()
	r.waitOutput(fmt.Sprintf("pid %d is ready", pid))
	clients := r.clients(3)
	if got := r.holder(clients[0]); got != pid {
		t.Errorf("process %d serves, want %d", got, pid)
	}
	for range 2 {
		r.crash()
		for _, c := range clients {
			c.echo("recovered")
		}
	}
}

// TestUnmodifiedBackground: a server that goes into the background is refused
// with what to do about it.
func TestUnmodifiedBackground(t *testing.T) {
	o := unmodifiedOptions(7002)
	o.nowait = true
	r := start(t, o, "/bin/sh", "-c", `"$0" "$@" & sleep 0.5`, binary(t, "probe"), "-mode", "plain", "-listen", ":7002")
	if code := r.exitStatus(); code == 0 {
		t.Error("exit status 0")
	}
	if !strings.Contains(r.out.String(), "foreground") {
		t.Errorf("the message does not say what to do:\n%s", &r.out)
	}
}
