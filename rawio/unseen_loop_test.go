package rawio

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/sockdiag"
)

// TestUnseenLoop: it is looked once in a second at most, and for a small part of the time; only
// where something is meant to be protected; and not after Close.
func TestUnseenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var (
			looks []time.Duration
			began = time.Now()
			takes time.Duration
		)
		r.unseen.list = func([]uint16, func(*sockdiag.Socket)) error {
			var long time.Duration
			r.act(func() { looks, long = append(looks, time.Since(began)), takes })
			time.Sleep(long)
			return nil
		}
		ended := r.goes(r.unseenLoop)
		want := func(what string, d time.Duration, want ...time.Duration) {
			t.Helper()
			r.sleep(d)
			if !slices.Equal(looks, want) {
				t.Errorf("%s: looks after %v, want %v", what, looks, want)
			}
			began, looks = time.Now(), nil
		}
		want("nothing is protected", 3*unseenPeriod+unseenPeriod/2)
		r.cfg.OutputBuffer = DefaultOutputBuffer
		off := Service{Port: rigPort, Name: "off", Unmodified: true, LogPolicy: policy.LogOff}
		if err := r.Protect(off); err != nil {
			t.Fatal(err)
		}
		want("nothing is meant to be protected", 3*unseenPeriod, 0) // Protect's own
		off.LogPolicy = policy.LogFull
		if err := r.Protect(off); err != nil {
			t.Fatal(err)
		}
		const half = unseenPeriod / 2
		takes = unseenPeriod
		want("a look that takes long", half+unseenPeriod, 0, half)
		want("after it", unseenShare*unseenPeriod, (unseenShare)*unseenPeriod)
		takes = 0
		time.Sleep(unseenPeriod) // of the look that is under way
		_ = r.Close()
		want("closed", 2*unseenShare*unseenPeriod)
		if !isClosed(ended) {
			t.Error("the loop goes on")
		}
	})
}

// TestUnseenList: the kernel's list is read by one watcher, which is opened anew after an error, and
// closed with the engine; after that there is no list.
func TestUnseenList(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	seen := 0
	look := func(want, watchers int) {
		t.Helper()
		seen = 0
		r.lookForUnseen(func(*sockdiag.Socket) { seen++ })
		if seen != want || r.kernel.watchers != watchers {
			t.Errorf("%d sockets by %d watchers, want %d by %d", seen, r.kernel.watchers, want, watchers)
		}
	}
	r.kernel.more = []sockdiag.Socket{{Flow: rigFlow, State: sockdiag.TimeWait}}
	look(1, 1)
	look(1, 1)
	r.kernel.fails = errList
	look(1, 0)
	r.kernel.fails = nil
	look(1, 1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	look(0, 0)
}

// TestCloseWaitsForLook: the engine is not closed while a look is under way, which reads what the
// gate has.
func TestCloseWaitsForLook(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	looking, goOn, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r.unseen.list = func([]uint16, func(*sockdiag.Socket)) error {
		close(looking)
		<-goOn
		r.model.Attached(rigLink)
		return nil
	}
	go r.lookForUnseen(nil)
	<-looking
	go func() {
		defer close(closed)
		_ = r.Close()
	}()
	<-r.closing
	close(goOn)
	<-closed
	if len(r.model.misused) > 0 {
		t.Errorf("after Close the gate is asked for %v", r.model.misused)
	}
}
