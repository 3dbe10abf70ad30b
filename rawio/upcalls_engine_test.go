package rawio

import (
	"testing"
	"testing/synctest"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// laterLog is a memory log whose upcalls come when a test lets them.
type laterLog struct {
	logserver.Log
	tell func([]logserver.Upcall)
	held []logserver.Upcall
	hold bool
}

func newLaterLog(t *testing.T) *laterLog {
	m, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &laterLog{Log: m}
}

func (l *laterLog) SetUpcall(tell func([]logserver.Upcall)) {
	l.tell = tell
	l.Log.SetUpcall(func(list []logserver.Upcall) {
		if l.hold {
			l.held = append(l.held, list...)
		} else {
			tell(list)
		}
	})
}

// release makes the upcalls that were held.
func (l *laterLog) release() {
	list := l.held
	l.held = nil
	l.tell(list)
}

// unacked is how much a socket has sent that is not acknowledged, bytes.
func unacked(s *rawiotest.Socket) uint32 { return s.Info().SndNxt - s.Info().SndUna }

// unstable returns a rig, and its client that has said what is not stable yet.
func unstable(t *testing.T) (*rig, *laterLog, *rawiotest.Socket) {
	log := newLaterLog(t)
	r := newRig(t, log)
	r.protects()
	_, l := r.serve()
	client, server := r.connect(l)
	log.hold = true
	r.says(client, []byte("hello"))
	if n, err := server.Recv(make([]byte, 10)); n != 5 {
		t.Fatalf("the server has read %d: %v", n, err)
	}
	if n := unacked(client); n != 5 || r.conn().Received != 5 {
		t.Fatalf("%d bytes are not acknowledged, %+v", n, r.conn())
	}
	return r, log, client
}

// TestUpcallActsAtOnce: on an upcall the acknowledgment leaves before the upcall returns, and not
// before the upcall.
func TestUpcallActsAtOnce(t *testing.T) {
	_, log, client := unstable(t)
	log.release()
	if n := unacked(client); n != 0 {
		t.Errorf("%d bytes are not acknowledged", n)
	}
}

// TestUpcallNeverWaits: an upcall that meets a busy engine does not wait for it, and is acted on by
// the loop.
func TestUpcallNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log, client := unstable(t)
		r.wg.Go(r.upcallLoop)
		r.mu.Lock()
		log.release() // a deadlock if it waits
		if !r.Engine.upcalls.pending() {
			t.Error("it has acted with the lock of somebody else")
		}
		r.mu.Unlock()
		synctest.Wait()
		if n := unacked(client); n != 0 {
			t.Errorf("%d bytes are not acknowledged", n)
		}
	})
}

// TestUpcallInCall: an upcall that comes while the core runs wakes nobody, and is acted on before the
// core's caller returns.
func TestUpcallInCall(t *testing.T) {
	r, log, client := unstable(t)
	select {
	case <-r.Engine.upcalls.wake: // of what was before
	default:
	}
	r.do(func(*south.Machine) {
		log.release()
		if n := unacked(client); n != 5 {
			t.Error("it has acted in the midst of the core's work")
		}
	})
	if n := unacked(client); n != 0 {
		t.Errorf("%d bytes are not acknowledged", n)
	}
	if len(r.Engine.upcalls.wake) != 0 {
		t.Error("somebody is woken for nothing")
	}
}

// TestUpcallAfterClose: an engine that is closed sends nothing on an upcall: its gate may be gone.
func TestUpcallAfterClose(t *testing.T) {
	r, log, client := unstable(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	log.release()
	if n := unacked(client); n != 5 {
		t.Error("an acknowledgment has left")
	}
	if !r.model.closed || !r.tapped.closed || !r.sent.closed {
		t.Errorf("closed: gate %v, tap %v, injector %v", r.model.closed, r.tapped.closed, r.sent.closed)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// TestUpcallsTaken: what was taken is taken once, and stays valid while more comes.
func TestUpcallsTaken(t *testing.T) {
	var u upcalls
	u.add([]logserver.Upcall{{ID: 1}, {ID: 2}})
	list := u.take()
	u.add([]logserver.Upcall{{ID: 3}})
	if len(list) != 2 || list[0].ID != 1 || list[1].ID != 2 {
		t.Errorf("taken %v", list)
	}
	if list = u.take(); len(list) != 1 || list[0].ID != 3 || u.pending() {
		t.Errorf("then %v, more: %v", list, u.pending())
	}
}
