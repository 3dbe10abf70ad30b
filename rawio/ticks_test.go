package rawio

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// ticking has the engine's clock go on.
func (r *rig) ticking() (ended <-chan struct{}) {
	r.mu.Lock()
	r.ticks = newTicker()
	r.mu.Unlock()
	return r.goes(r.tickLoop)
}

// beats is how many heartbeats there are in a time.
func (r *rig) beats(d time.Duration) int {
	before := r.model.beats
	r.pass(d)
	return r.model.beats - before
}

// TestTicks: the heart beats where the core has just run: rarely, and often while handshakes are under
// way, which go on by themselves.
func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		p, l := r.serve()
		client, _ := r.connect(l)
		r.model.onBeat = func() {
			if age := r.env.Now() - r.machine.Now(); age != 0 {
				t.Errorf("the core ran %v before the heartbeat", time.Duration(age))
			}
		}
		r.ticking()
		if n := r.beats(time.Second); n != int(time.Second/idleTick) {
			t.Errorf("%d heartbeats in a second", n)
		}
		r.goes(r.receiveLoop)
		r.crash(p)
		r.drop = func(*segment.Segment, int) bool { return true }
		r.serve()
		if n := r.Listening(rigPort); n != 1 {
			t.Fatalf("%d connections are recovered", n)
		}
		if n := r.beats(time.Second); n != int(time.Second/busyTick) {
			t.Errorf("%d heartbeats in a second of handshakes", n)
		}
		r.drop = nil
		r.beats(5 * time.Second)
		s := r.stack.Lookup(rigServer, rigClient)
		if c := r.conn(); c == nil || c.Recovered != 1 || s == nil || s.State() != rawiotest.Established || client.State() != rawiotest.Established {
			t.Errorf("the engine has %+v, the server %v, the client is in %v", c, s, client.State())
		}
		if n := r.beats(time.Second); n != int(time.Second/idleTick) {
			t.Errorf("%d heartbeats in a second, later", n)
		}
	})
}

// TestTicksSweep: the kernel is asked rarely which sockets it has, and not by an engine that protects
// nothing.
func TestTicksSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ticking()
		r.beats(2 * sweep)
		if r.kernel.lists != 0 {
			t.Errorf("asked %d times, for nothing", r.kernel.lists)
		}
		r.protects()
		if r.beats(2 * sweep); r.kernel.lists != 2 {
			t.Errorf("asked %d times in %v", r.kernel.lists, 2*sweep)
		}
	})
}

// TestHeartStops: an engine that has failed, or is closed, has no heartbeat.
func TestHeartStops(t *testing.T) {
	for name, stop := range map[string]func(*rig){
		"failed": func(r *rig) { r.fail("a loop", errBroken) },
		"closed": func(r *rig) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				ended := r.ticking()
				r.beats(time.Second)
				stop(r)
				if n := r.beats(10 * time.Second); n > 0 || !isClosed(ended) {
					t.Errorf("%d heartbeats; ended: %v", n, isClosed(ended))
				}
			})
		})
	}
}

// TestHeartbeatRefused: when the gate has not waited for the engine's heartbeat, it is asked what it has
// let go meanwhile until that is known; connections that it does not have any more are over. The
// stall is reported once.
func TestHeartbeatRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.model.DeadAfter = uint64(time.Second)
		_, _ = r.model.Beat()
		r.protects()
		_, l := r.serve()
		r.connect(l)
		time.Sleep(2 * time.Second) // the engine stands still
		if err := r.model.Unbind(rigFlow); err != nil {
			t.Fatal(err)
		}
		r.model.flowsFail = 2
		r.ticking()
		if r.beats(2 * idleTick); r.conn() == nil {
			t.Error("the engine knows what nobody has told it")
		}
		if r.beats(idleTick); r.conn() != nil {
			t.Errorf("the engine has %+v", r.conn())
		}
		r.beats(time.Second)
		r.wantSaid("affected connections lost protection", 1)
		r.wantSaid("opened connections cannot be read from the gate", 2)
	})
}
