package rawio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

var errBroken = errors.New("no buffer space available")

// goes has one of the engine's loops run, and returns a channel that is closed when it ends.
func (r *rig) goes(loop func()) (ended <-chan struct{}) {
	done := make(chan struct{})
	r.wg.Go(func() {
		defer close(done)
		loop()
	})
	r.loops = true
	synctest.Wait()
	return done
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// status is what Snapshot says of the rig's connection.
func (r *rig) status() Connection {
	r.t.Helper()
	s, err := r.Snapshot(true)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range s.Connections {
		if c.Flow == rigFlow {
			return c
		}
	}
	r.t.Fatalf("the status does not have the connection: %+v", s.Connections)
	return Connection{}
}

// TestReceiveLoopPauses: after each receive the tap is left alone: for long if it had nothing but
// acknowledgments, for less if a client waits; and the gate's events end the pause, unless
// one follows the other.
func TestReceiveLoopPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		_, l := r.serve()
		r.goes(r.receiveLoop)
		want := func(what string, want ...fakePause) {
			t.Helper()
			r.work()
			// How many receives a step takes is the scheduler's business.
			if r.tapped.pauses = slices.Compact(r.tapped.pauses); !slices.Equal(r.tapped.pauses, want) {
				t.Errorf("%s: paused %v, want %v", what, r.tapped.pauses, want)
			}
			r.tapped.pauses = nil
		}
		client, server := r.connect(l)
		want("a handshake", fakePause{tapPause, true}, fakePause{ackPause, true})
		r.says(client, []byte("hello"))
		want("data", fakePause{tapPause, true})
		if n := unacked(client); n != 0 {
			t.Errorf("%d bytes are not acknowledged", n)
		}
		r.hears(server)
		r.sends(server, []byte("hello"))
		want("an acknowledgment", fakePause{ackPause, true})

		for port := range uint16(2) {
			r.dialsFrom(netip.AddrPortFrom(rigClient.Addr(), 41000+port))
			synctest.Wait() // no time passes
		}
		if want := []fakePause{{tapPause, true}, {eventPause, false}}; !slices.Equal(slices.Compact(r.tapped.pauses), want) {
			t.Errorf("two handshakes at once: paused %v, want %v", r.tapped.pauses, want)
		}
	})
}

// TestReceiveLoopCatchesUp: while there is more than one receive takes there is no pause.
func TestReceiveLoopCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.goes(r.receiveLoop)
		receives := 0
		r.tapped.reads = func() { receives++ }
		r.model.events = make([]gate.Event, 3*eventBatch+1)
		for i := range r.model.events {
			r.model.events[i] = gate.Event{Kind: gate.EventProofOut, IfIndex: rigLink} // nobody's proof
		}
		ring(r.tapped.reports)
		synctest.Wait()
		if len(r.model.events) != 0 || receives != 4 || len(r.tapped.pauses) != 1 {
			t.Errorf("%d events are left after %d receives and %d pauses", len(r.model.events), receives, len(r.tapped.pauses))
		}
	})
}

// TestReceiveLoopFails: when the tap or the gate's events cannot be read the engine has failed: it
// says so once, reads no more, and no connection counts as protected. What Close leads to is no
// failure.
func TestReceiveLoopFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		breaks func(r *rig, err error)
	}{
		{"the wait", func(r *rig, err error) { r.tapped.broken <- err }},
		{"the tap", func(r *rig, err error) { r.tapped.fails = err; ring(r.tapped.packets) }},
		{"events", func(r *rig, err error) { r.model.readsFail = err; ring(r.tapped.reports) }},
	} {
		for _, broken := range []error{errBroken, fmt.Errorf("tap: %w", net.ErrClosed)} {
			t.Run(fmt.Sprint(test.name, ", ", broken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.protects()
					_, l := r.serve()
					ended := r.goes(r.receiveLoop)
					client, _ := r.connect(l)
					test.breaks(r, broken)
					synctest.Wait()
					if !isClosed(ended) {
						t.Error("the loop goes on")
					}
					c, said := r.status(), strings.Count(r.said.String(), "the engine has failed: tap or gate events cannot be read")
					if broken != errBroken {
						if r.Err() != nil || said > 0 || !c.Protected {
							t.Errorf("closed: %v, %+v, said %s", r.Err(), c, &r.said)
						}
						return
					}
					if r.Err() != errBroken || said != 1 {
						t.Errorf("failed: %v, said %s", r.Err(), &r.said)
					}
					if want := reason.EngineFailed.With(errBroken.Error()); c.Protected || c.Reason != want {
						t.Errorf("protected: %v, %q, want %q", c.Protected, c.Reason, want)
					}
					r.sends(client, []byte("hello"))
					r.pass(time.Second)
					if n := unacked(client); n != 5 {
						t.Error("what nobody has logged is acknowledged")
					}
				})
			})
		}
	}
}

// TestReceiveLoopEndsWithOthers: when another loop has failed nothing is received any more.
func TestReceiveLoopEndsWithOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		ended := r.goes(r.receiveLoop)
		r.tapped.reads = func() { t.Error("the tap is read") }
		r.fail("something else", errBroken)
		r.tapped.gets(nil)
		synctest.Wait()
		if !isClosed(ended) {
			t.Error("the loop goes on")
		}
	})
}

// TestDrainTakesTurns: of much that the tap has one receive takes a part, so that the gate's events
// get their turn; and what is logged is acknowledged while the rest is still to be read.
func TestDrainTakesTurns(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	b := newBulk(r)
	const n, all = 100, 6 * tapBatch
	for range all {
		b.segment(b.at, n)
		b.at += n
	}
	var stable []int64
	r.tapped.reads = func() { stable = append(stable, r.machine.Conn(rigFlow).Info().Stable) }
	receive := func() (pause time.Duration) {
		r.do(func(m *south.Machine) {
			var err error
			if pause, _, err = r.receive(m, r.reports, make([]gate.Event, eventBatch)); err != nil {
				t.Fatal(err)
			}
		})
		return pause
	}
	if pause := receive(); pause != 0 || len(r.tapped.queue) != all-4*tapBatch {
		t.Errorf("a pause of %v, and %d packets are left", pause, len(r.tapped.queue))
	}
	var want []int64
	for i := range int64(4) {
		want = append(want, 1+i*tapBatch*n)
	}
	if !slices.Equal(stable, want) {
		t.Errorf("stable before each read: %v, want %v", stable, want)
	}
	if pause := receive(); pause != tapPause || len(r.tapped.queue) > 0 {
		t.Errorf("a pause of %v, and %d packets are left", pause, len(r.tapped.queue))
	}
	b.logged(b.at)
}

// TestCatchUp: all that the gate has reported is taken; how many reports were lost is told, unless
// there is an error.
func TestCatchUp(t *testing.T) {
	r := newRig(t, nil)
	r.model.events = make([]gate.Event, 3*eventBatch)
	for i := range r.model.events {
		r.model.events[i].Kind = gate.EventProofIn
	}
	r.model.EventsFull = true
	r.protects()
	r.serve()
	r.dialsFrom(rigClient) // its SYN-ACK is not reported
	if lost, err := r.catchUp(); lost != 1 || err != nil || len(r.model.events) > 0 || len(r.tapped.queue) > 0 {
		t.Errorf("%d lost, %v; %d events and %d packets are left", lost, err, len(r.model.events), len(r.tapped.queue))
	}
	for name, fails := range map[string]*error{"tap": &r.tapped.fails, "events": &r.model.readsFail, "counters": &r.model.statsFail} {
		*fails = errBroken
		if _, err := r.catchUp(); err != errBroken {
			t.Errorf("%s: error is %v", name, err)
		}
		*fails = nil
	}
	if r.Err() != nil {
		t.Error("it is the loop that says whether the engine has failed")
	}
}

// TestPacketNotSent: a packet that is not sent is counted, and those behind it are sent all the same.
func TestPacketNotSent(t *testing.T) {
	log := newLaterLog(t)
	r := newRig(t, log)
	r.protects()
	_, l := r.serve()
	first, _ := r.connect(l)
	second := r.dialsFrom(netip.AddrPortFrom(rigClient.Addr(), 40001))
	r.work()
	log.hold = true
	r.says(first, []byte("hello"))
	r.says(second, []byte("hello"))
	r.sent.fails = errBroken
	log.release()
	if n := unacked(first) + unacked(second); n != 5 || r.sendErrors.Load() != 1 {
		t.Errorf("%d bytes are not acknowledged, %d packets not sent", n, r.sendErrors.Load())
	}
	if !strings.Contains(r.said.String(), `packet not sent: error="no buffer space available"`) {
		t.Errorf("said %s", &r.said)
	}
}
