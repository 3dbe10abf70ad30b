package rawio

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestFence: of a port that another engine has taken over nothing leaves any more, neither while
// the server process lives nor when it ends, whatever else the engine is told of the port, and even
// if the gate takes the engine for dead. The log keeps the connection. The heartbeat ends,
// and goes on with the next port that is the engine's.
func TestFence(t *testing.T) {
	for _, dead := range []bool{false, true} {
		r := newRig(t, nil)
		r.protects()
		p, l := r.serve()
		client, server := r.connect(l)
		r.says(client, []byte("before"))
		if c := r.conn(); c.Stable != 6 {
			t.Fatalf("%+v", c)
		}
		r.beat(r.model)
		unacknowledged := "after"
		if n := r.Fence(rigPort); n != 1 {
			t.Errorf("%d connections were forgotten, want 1", n)
		}
		if n := r.Fence(rigPort); n != 0 {
			t.Errorf("%d connections were forgotten again", n)
		}
		flows, _ := r.model.Flows()
		if r.state(rigPort) != gate.ServiceHold || len(flows) != 0 || r.conn() != nil {
			t.Errorf("the gate's service is in %v, with %v; the engine has %+v", r.state(rigPort), flows, r.conn())
		}
		if s := r.stack.Lookup(rigServer, rigClient); s != nil {
			t.Errorf("the kernel still has the socket: %v", s)
		}
		if n := r.cfg.Log.NumActive(); n != 1 {
			t.Errorf("the log has %d connections, want that of the new owner", n)
		}
		if dead {
			r.model.DeadAfter = 1 // ns
		}
		r.says(client, []byte(unacknowledged))
		_, _ = server.Send([]byte("reply"))
		p.Kill()
		r.work()
		r.Crash(rigPort)
		r.Release(rigPort)
		r.AbortAll(rigPort, "a test")
		r.protects()
		r.serve()
		r.Listening(rigPort)
		r.clock.Run(10*time.Second, nil) // the client repeats itself
		r.do(func(m *south.Machine) { m.Tick() })
		r.work()
		info := client.Info()
		if lacks := int(info.SndNxt - info.SndUna); client.State() != rawiotest.Established || client.Err() != nil || lacks != len(unacknowledged) {
			t.Errorf("dead %v: the client is in %v, %v, and %d bytes are not acknowledged", dead, client.State(), client.Err(), lacks)
		}
		if r.state(rigPort) != gate.ServiceHold {
			t.Errorf("the gate's service is in %v", r.state(rigPort))
		}
		h := &flowsAfter{}
		if r.beat(h); h.late != 0 {
			t.Error("the heart beats for nothing")
		}
		if err := r.Protect(Service{Port: rigPort + 1, Name: "other", Journal: r.journal}); err != nil {
			t.Fatal(err)
		}
		if r.beat(h); h.late != -1 {
			t.Error("the heart does not beat for the other port")
		}
		if err := r.Unprotect(rigPort); err != nil || r.state(rigPort) != 0 {
			t.Errorf("unprotected: %v, the gate's service is in %v", err, r.state(rigPort))
		}
	}
}
