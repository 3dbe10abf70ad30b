package e2e

import (
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// killBoth ends ftnet and the server by SIGKILL, and waits until both are gone.
func (r *rig) killBoth() {
	r.t.Helper()
	d := r.waitStatus("a server process runs", func(d *status.Document) bool { return d.Process.PID != 0 })
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = syscall.Kill(d.Process.PID, syscall.SIGKILL) // it may have gone with ftnet
	_ = r.wait()
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(d.Process.PID, 0) == nil; {
		if time.Now().After(deadline) {
			r.t.Fatalf("the server, process %d, lives on", d.Process.PID)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestEngineAndServerKilled: engine and server die together, ten times under load.
// What the log has is enough for every connection to go on: every reply of each is
// right.
func TestEngineAndServerKilled(t *testing.T) {
	for _, b := range lasting {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			restored(t, b, options{}, binary(t, "counter"))
		})
		t.Run(b.name+"-unmodified", func(t *testing.T) {
			t.Parallel()
			restored(t, b, unmodifiedOptions(7000), plainCounter(t))
		})
	}
}

func restored(t *testing.T, b backend, o options, server string) {
	r := prepare(t, o)
	o.flags = append(o.flags, b.flags(r, filepath.Base(server))...)
	r.spawn(o, server, "-listen", ":7000")
	load := r.load()
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		load.served()
		pause(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		r.killBoth()
		pause(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		r.start(o, server, "-listen", ":7000")
	}
	load.served()
	load.end()
}
