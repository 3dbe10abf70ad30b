package rawio

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// bare returns an engine without gate, tap and connections, and its log.
func bare(t *testing.T) (*Engine, *bytes.Buffer) {
	log, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	out := &bytes.Buffer{}
	e := &Engine{
		cfg: Config{Log: log}, log: hclog.New(&hclog.LoggerOptions{Output: out, DisableTime: true}),
		failure: newFailure(), closing: make(chan struct{}),
	}
	e.env = newEnvironment(e)
	e.machine = newCore(e.env, log)
	return e, out
}

// TestFailure: when a loop ends by an error the engine says so, once, and its heart
// stops; when it ends because the engine is closed, nothing is said.
func TestFailure(t *testing.T) {
	e, out := bare(t)
	e.fail("the tap cannot be read", fmt.Errorf("tap: %w", net.ErrClosed))
	if e.Err() != nil || out.Len() > 0 {
		t.Errorf("closed: %v, %q", e.Err(), out)
	}
	first := errors.New("no buffer space available")
	e.fail("the tap cannot be read", first)
	e.fail("captures cannot be read", errors.New("bad file descriptor"))
	if e.Err() != first {
		t.Errorf("failed: %v, want the first error", e.Err())
	}
	want := "[ERROR] the engine has failed: the tap cannot be read: error=\"no buffer space available\""
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	e.ticks = &ticker{t: time.NewTicker(time.Hour)}
	e.tickLoop() // else it goes on
	ctx, cancel := e.untilClosing()
	defer cancel()
	<-ctx.Done()
}

// flowsAfter is a gate that has not waited for the engine, and that cannot say what it has
// let go before it was asked so often.
type flowsAfter struct{ late, failures, asked int }

func (g *flowsAfter) Beat() (bool, error) {
	g.late--
	return g.late == 0, nil
}

func (g *flowsAfter) Flows() (map[segment.Flow]uint32, error) {
	if g.asked++; g.asked <= g.failures {
		return nil, errors.New("try again")
	}
	return nil, nil
}

// TestHeartbeatAsksAgain: what the gate has let go while the engine stood still is asked
// until it is known, at each beat, and not again.
func TestHeartbeatAsksAgain(t *testing.T) {
	e, _ := bare(t)
	g := &flowsAfter{late: 2, failures: 2}
	for beat, want := range []int{0, 1, 2, 3, 3, 3} {
		if e.beat(g); g.asked != want {
			t.Errorf("asked %d times at beat %d, want %d", g.asked, beat, want)
		}
	}
}

// takenOver is a gate that another engine has taken over.
type takenOver struct{ flowsAfter }

func (*takenOver) Beat() (bool, error) {
	return false, fmt.Errorf("%w: epoch 8, after 7", gate.ErrTakenOver)
}

// TestGateTakenOver: an engine whose gate another one has says so, once, and does nothing more with
// it: what is in slots and services is that one's.
func TestGateTakenOver(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	_, l := r.serve()
	client, _ := r.connect(l)
	r.says(client, []byte("before"))
	slot, _ := r.machine.Slot(rigFlow)
	stable := r.model.Slot(slot).Stable()
	for range 2 {
		r.beat(&takenOver{})
	}
	if err := r.Err(); !errors.Is(err, gate.ErrTakenOver) || strings.Count(r.said.String(), "[ERROR]") != 1 {
		t.Errorf("failed: %v; said:\n%s", err, r.said.String())
	}
	_, _ = client.Send([]byte("after"))
	if _, err := r.catchUp(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the core still runs: %v", err)
	}
	r.Crash(rigPort)
	r.AbortAll(rigPort, "a test")
	if got := r.model.Slot(slot).Stable(); got != stable || r.model.Slot(slot).Mode() != gate.ModeLive || r.state(rigPort) != gate.ServiceListen {
		t.Errorf("the slot has %d in %v, was %d; the gate's service is in %v", got, r.model.Slot(slot).Mode(), stable, r.state(rigPort))
	}
	if info := client.Info(); info.SndNxt-info.SndUna != 5 || client.State() != rawiotest.Established {
		t.Errorf("the client is in %v: %+v", client.State(), info)
	}
}
