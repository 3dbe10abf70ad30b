package rawio

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// farLog is a log server that cannot be reached until a time.
type farLog struct {
	logserver.Log
	from time.Time
}

func (l *farLog) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	if time.Now().Before(l.from) {
		return 0, logserver.ErrUnreachable
	}
	return l.Log.Read(id, p, off)
}

func anyone(uint16) bool { return true }

// TestReadLogIsTheOwners: a process reads the log of the connections of its own ports only, and of
// the connection that it means, not of the one that has its slot now.
func TestReadLogIsTheOwners(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	_, l := r.serve()
	client, _ := r.connect(l)
	r.says(client, []byte("0123456789"))
	slot, gen := r.record.Slot(), r.record.Gen()
	owner := func(port uint16) bool { return port == rigPort }
	p := make([]byte, 4)
	if n, err := r.ReadLog(slot, gen, owner, p, 3); n != 4 || err != nil || string(p) != "3456" {
		t.Errorf("read %d, %v, %q", n, err, p)
	}
	if f, ok := r.FlowOf(slot, gen, owner); !ok || f != rigFlow {
		t.Errorf("the flow is %v, %v", f, ok)
	}
	for _, test := range []struct {
		name      string
		slot, gen uint32
		owner     func(uint16) bool
	}{
		{"another port's owner", slot, gen, func(port uint16) bool { return port != rigPort }},
		{"another generation", slot, gen + 1, owner},
		{"another slot", slot + 1, gen, owner},
		{"no slot", 1 << 20, gen, anyone},
	} {
		_, err := r.ReadLog(test.slot, test.gen, test.owner, p, 0)
		if !errors.Is(err, errNotOwned) || !strings.Contains(err.Error(), "in slot ") {
			t.Errorf("%s: error is %v", test.name, err)
		}
		if f, ok := r.FlowOf(test.slot, test.gen, test.owner); ok {
			t.Errorf("%s: the flow is %v", test.name, f)
		}
	}
}

// TestReadState: a process gets the state of the base at which its record says that it begins, and no other.
func TestReadState(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	_, l := r.serve()
	client, _ := r.connect(l)
	r.says(client, []byte("0123456789"))
	slot, gen := r.record.Slot(), r.record.Gen()
	p := make([]byte, 100)
	if n, err := r.ReadState(slot, gen, anyone, p, 0); n != 0 || err != nil {
		t.Errorf("at the beginning: %d, %v", n, err)
	}
	_, id, _ := r.owned(slot, gen, anyone)
	if err := r.cfg.Log.Rebase(id, logserver.Base{In: 4, Out: 0, State: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadState(slot, gen, anyone, p, 4); string(p[:n]) != "state" || err != nil {
		t.Errorf("state %q, %v", p[:n], err)
	}
	if _, err := r.ReadState(slot, gen, anyone, p, 0); err == nil {
		t.Error("the state of another base")
	}
	if _, err := r.ReadState(slot, gen, anyone, p[:4], 4); err == nil {
		t.Error("a part of the state")
	}
	if _, err := r.ReadState(slot, gen+1, anyone, p, 4); !errors.Is(err, errNotOwned) {
		t.Errorf("another generation: %v", err)
	}
}

// TestReadLogResumes: a read goes on when the log server can be reached again, without the engine's
// lock meanwhile; it ends with the engine.
func TestReadLogResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &farLog{Log: newLaterLog(t)}
		r := newRig(t, log)
		r.protects()
		_, l := r.serve()
		client, _ := r.connect(l)
		r.says(client, []byte("0123456789"))
		slot, gen := r.record.Slot(), r.record.Gen()
		began := time.Now()
		log.from = began.Add(reachable / 2)
		p := make([]byte, 10)
		read := func() (n int, err error) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				n, err = r.ReadLog(slot, gen, anyone, p, 0)
			}()
			synctest.Wait()
			if !r.mu.TryLock() {
				t.Fatal("it waits with the engine's lock")
			}
			r.mu.Unlock()
			<-done
			return n, err
		}
		if n, err := read(); n != 10 || err != nil || time.Since(began) != reachable/2 {
			t.Errorf("read %d, %v after %v", n, err, time.Since(began))
		}
		log.from = time.Now().Add(time.Hour)
		time.AfterFunc(reachable/3, func() { _ = r.Close() })
		began = time.Now()
		if _, err := read(); !errors.Is(err, logserver.ErrUnreachable) || time.Since(began) != reachable/3 {
			t.Errorf("closed: %v after %v", err, time.Since(began))
		}
	})
}
