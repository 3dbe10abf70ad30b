package rawio

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// runs has all of the engine's loops run.
func (r *rig) runs() {
	r.trials.watchRules = func() *nftNews { return nil }
	r.start()
	r.loops = true
	synctest.Wait()
}

// TestEngineRuns: with all its loops an engine serves a client across a crash, finds all in order, and
// nothing is left of it when it is closed, wherever its loops are then.
func TestEngineRuns(t *testing.T) {
	for _, after := range []time.Duration{0, 1, tapPause / 2, busyTick, idleTick, proofEvery, proofEvery + proofWait/2, sweep} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newLastingLog(t))
				r.cfg.OutputBuffer = DefaultOutputBuffer
				r.runs()
				r.protects()
				p, l := r.serve()
				client, _ := r.connect(l)
				r.says(client, []byte("before"))
				r.pass(3 * time.Second)
				if c := r.status(); !c.Protected || c.Stable != 6 {
					t.Fatalf("the status is %+v", c)
				}
				r.crash(p)
				r.serve()
				if n := r.Listening(rigPort); n != 1 {
					t.Fatalf("%d connections are recovered", n)
				}
				r.pass(time.Second)
				r.says(client, []byte(", after"))
				c, s := r.status(), r.stack.Lookup(rigServer, rigClient)
				if c.Recovered != 1 || c.Stable != 13 || unacked(client) != 0 || s == nil || s.State() != rawiotest.Established {
					t.Errorf("the status is %+v, the server's socket %v", c, s)
				}
				if snap, err := r.Snapshot(false); err != nil || !slices.Equal(snap.Interfaces, []string{"eth0"}) || snap.TapPackets == 0 {
					t.Errorf("the status is %+v, %v", snap, err)
				}
				r.sends(client, []byte("!"))
				time.Sleep(after)
				if err := r.Close(); err != nil || r.Err() != nil {
					t.Errorf("closed: %v; failed: %v", err, r.Err())
				}
				time.Sleep(time.Minute)
				if len(r.model.misused) > 0 {
					t.Errorf("after Close the gate is asked for %v", r.model.misused)
				}
				if r.kernel.watchers > 0 || !r.news.closed() || !r.host.closed || !r.proofs.closed || !r.tapped.closed || !r.sent.closed || !r.model.closed {
					t.Error("something is open")
				}
			})
		})
	}
}

// TestCloseUnstarted: of an engine that could not be opened nothing is left either.
func TestCloseUnstarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if !r.news.closed() || !r.host.closed || !r.proofs.closed || !r.model.closed || !r.tapped.closed || !r.sent.closed {
			t.Error("something is open")
		}
	})
	if err := newEngine(Config{Logger: hclog.NewNullLogger()}).Close(); err != nil { // it has opened nothing
		t.Error(err)
	}
}

// TestCloseTwice: whoever closes an engine that is being closed waits until it is, and gets the same
// error.
func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.inject = brokenInjector{r.sent}
		busy := make(chan struct{})
		r.wg.Go(func() { <-busy })
		var errs []error
		closed := make(chan struct{})
		for range 2 {
			go func() {
				err := r.Close()
				r.kernel.turn.Lock()
				defer r.kernel.turn.Unlock()
				if errs = append(errs, err); len(errs) == 2 {
					close(closed)
				}
			}()
		}
		synctest.Wait()
		if len(errs) > 0 {
			t.Error("Close returns before the engine is closed")
		}
		close(busy)
		<-closed
		for _, err := range errs {
			if !errors.Is(err, errBroken) {
				t.Errorf("error is %v", err)
			}
		}
	})
}

type brokenInjector struct{ *fakeInjector }

func (i brokenInjector) Close() error { return errBroken }

// TestCloseOrder: the tap ends before the gate is taken off, and the injector, which the gate knows,
// is there for as long as the gate is.
func TestCloseOrder(t *testing.T) {
	r := newRig(t, nil)
	var order []string
	r.tap = orderedTap{r.tapped, &order}
	r.gate = orderedGate{r.model, &order}
	r.inject = orderedInjector{r.sent, &order}
	if err := r.Close(); err != nil || !slices.Equal(order, []string{"tap", "gate", "injector"}) {
		t.Errorf("closed %v, %v", order, err)
	}
}

type (
	orderedTap struct {
		*fakeTap
		order *[]string
	}
	orderedGate struct {
		*modelGate
		order *[]string
	}
	orderedInjector struct {
		*fakeInjector
		order *[]string
	}
)

func (t orderedTap) Close() error {
	*t.order = append(*t.order, "tap")
	return t.fakeTap.Close()
}

func (g orderedGate) Close() error {
	*g.order = append(*g.order, "gate")
	return g.modelGate.Close()
}

func (i orderedInjector) Close() error {
	*i.order = append(*i.order, "injector")
	return i.fakeInjector.Close()
}

// TestClosedDoesNothing: whatever is asked of an engine that is closed, its gate is not touched.
func TestClosedDoesNothing(t *testing.T) {
	r := newRig(t, newLastingLog(t))
	r.protects()
	_, l := r.serve()
	r.connect(l)
	other := netip.MustParseAddrPort("127.0.0.1:1")
	r.kernel.more = []sockdiag.Socket{{Flow: Flow{Client: other, Server: rigServer}, State: sockdiag.Established, Inode: 1}}
	heir := Heir{Service: "other", Ports: []uint16{rigPort + 1}}
	_ = r.Close()
	for name, call := range map[string]func() error{
		"Protect":   func() error { return r.Protect(Service{Port: 80, Journal: r.journal}) },
		"again":     func() error { return r.Protect(Service{Port: rigPort, Journal: r.journal}) },
		"Unprotect": func() error { return r.Unprotect(rigPort) },
		"Snapshot":  func() error { _, err := r.Snapshot(true); return err },
		"Probe":     func() error { return r.Probe(t.Context(), other) },
		"TakeOver":  func() error { return r.TakeOver(t.Context(), heir, func(uint16) error { return nil }) },
	} {
		if err := call(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if n := r.Listening(rigPort); n != 0 {
		t.Errorf("%d connections are recovered", n)
	}
	r.Crash(rigPort)
	r.Succeed(rigPort)
	r.Release(rigPort)
	r.Abort(rigFlow, "why")
	r.AbortAll(rigPort, "why")
	r.sweep(0)
	r.lookForUnseen(nil)
	r.Serves(rigPort)
	r.Handshakes()
	r.fail("a loop", errBroken)
	r.logStatus(logserver.Expired)
	_ = r.ReleaseUnclaimed(func(uint16) bool { return false })
	r.do(func(*south.Machine) { t.Error("the core runs") })
	if len(r.model.misused) > 0 || r.model.services[rigPort] != gate.ServiceListen {
		t.Errorf("after Close the gate is asked for %v", r.model.misused)
	}
}
