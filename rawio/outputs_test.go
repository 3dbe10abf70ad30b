package rawio

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// protectsUnmodified begins to protect the port of a server without a north side.
func (r *rig) protectsUnmodified() {
	r.t.Helper()
	r.cfg.OutputBuffer = DefaultOutputBuffer
	if err := r.Protect(Service{Port: rigPort, Name: "rig", Unmodified: true, Compare: policy.CompareStrict}); err != nil {
		r.t.Fatal(err)
	}
}

// passes has one end say something, and the other one hear it.
func (r *rig) passes(from, to *rawiotest.Socket, what string) {
	r.t.Helper()
	r.sends(from, []byte(what))
	r.work()
	if got := r.hears(to); got != what {
		r.t.Fatalf("heard %q of %q; the engine has %+v", got, what, r.conn())
	}
	ring(r.model.captured)
	r.work()
}

// TestOutputsRollForward: what a restarted server says is compared with what the client has, by the
// loop that reads the gate's captures, and then the connection goes on. Captures that are no packets
// are counted, and do not keep the others away.
func TestOutputsRollForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protectsUnmodified()
		r.captures = badOutputs{r.model}
		p, l := r.serve()
		r.goes(r.receiveLoop)
		r.goes(r.outputLoop)
		r.ticking()
		client, server := r.dials(l)
		r.passes(client, server, "hello")
		r.passes(server, client, "welcome")
		r.crash(p)
		_, l = r.serve()
		if n := r.Listening(rigPort); n != 1 {
			t.Fatalf("%d connections are recovered", n)
		}
		r.work()
		if server = l.Accept(); server == nil {
			t.Fatalf("the server has no connection: %+v", r.conn())
		}
		if got := r.hears(server); got != "hello" {
			t.Fatalf("the server gets %q", got)
		}
		if c := r.conn(); c.State != south.Rolling.String() {
			t.Fatalf("before the server has said anything: %+v", c)
		}
		r.sends(server, []byte("welcome"))
		ring(r.model.captured)
		r.pass(time.Second)
		if c := r.conn(); c.State != south.Established.String() || c.Recovered != 1 || !c.Protected {
			t.Fatalf("the engine has %+v", c)
		}
		r.passes(client, server, "again")
		r.passes(server, client, "still here")
		if r.badPackets.Load() == 0 {
			t.Error("captures that are no packets are not counted")
		}
	})
}

// badOutputs has a capture that is no packet before each of the model's batches.
type badOutputs struct{ *modelGate }

func (b badOutputs) ReadBatch(ctx context.Context, outputs []gate.Output) (int, error) {
	n, err := b.modelGate.ReadBatch(ctx, outputs[1:])
	if err != nil {
		return n, err
	}
	outputs[0] = gate.Output{Kind: gate.OutputSent, Packet: []byte("no packet")}
	return n + 1, nil
}

// TestOutputLoopFails: when captures cannot be read the engine has failed; when it is closed, or has
// failed otherwise, the loop ends without a word. Nothing is left of it.
func TestOutputLoopFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		breaks func(r *rig)
		want   error
		said   string
	}{
		{"captures", func(r *rig) { r.model.captureFail <- errBroken }, errBroken, "the engine has failed: captured output cannot be read"},
		{"another loop", func(r *rig) { r.fail("another loop", errList) }, errList, "the engine has failed: another loop"},
		{"closed", func(r *rig) { _ = r.Close() }, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				ended := r.goes(r.outputLoop)
				test.breaks(r)
				synctest.Wait()
				if r.Err() != test.want || !isClosed(ended) {
					t.Errorf("failed: %v; ended: %v", r.Err(), isClosed(ended))
				}
				r.saidOnly(test.said)
			})
		})
	}
}

// saidOnly wants one message of a failure, or none.
func (r *rig) saidOnly(want string) {
	r.t.Helper()
	const failed = "the engine has failed: "
	n := strings.Count(r.said.String(), failed)
	if want == "" && n != 0 || want != "" && (n != 1 || !strings.Contains(r.said.String(), want)) {
		r.t.Errorf("said %s", &r.said)
	}
}
