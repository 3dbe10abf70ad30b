package rawio

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// slowLog takes a while for each read, and gives less than is asked for.
type slowLog struct {
	logserver.Log
	reads, now, most atomic.Int32
}

func (l *slowLog) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	l.reads.Add(1)
	if n := l.now.Add(1); n > l.most.Load() {
		l.most.Store(n)
	}
	time.Sleep(time.Millisecond)
	l.now.Add(-1)
	if id == 13 {
		return 0, logserver.ErrUnreachable
	}
	n := min(len(p), 300, max(int(1000-off), 0))
	for i := range n {
		p[i] = byte(off + int64(i))
	}
	return n, nil
}

// TestFetches: many reads are bounded in number, and none runs after close.
func TestFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{}
		e := &Engine{cfg: Config{Log: log}, closing: make(chan struct{})}
		e.env = newEnvironment(e)
		e.fetches.e = e
		e.machine = newCore(e.env, log)
		for range 100 {
			e.fetches.add(fetch{0, 1, 1, 0, 600})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if reads, most := log.reads.Load(), log.most.Load(); reads != 200 || most != maxFetches {
			t.Errorf("%d reads, %d at once; want 200, %d", reads, most, maxFetches)
		}
		for range 100 {
			e.fetches.add(fetch{0, 1, 1, 0, 600})
		}
		e.fetches.close()
		e.wg.Wait()
		e.fetches.add(fetch{0, 1, 1, 0, 600})
		e.wg.Wait()
		if reads := log.reads.Load(); reads > 200+2*maxFetches {
			t.Errorf("%d reads after close", reads-200)
		}
	})
}

func TestFetchReadsAll(t *testing.T) {
	f := &fetches{e: &Engine{cfg: Config{Log: &slowLog{}}}}
	p := make([]byte, 900)
	if err := f.read(fetch{off: 100}, p); err != nil || p[899] != byte(999&0xff) || p[0] != 100 {
		t.Errorf("read: %v, or other bytes", err)
	}
	if err := f.read(fetch{off: 101}, p); !errors.Is(err, errShort) {
		t.Errorf("more than there is: %v", err)
	}
	if err := f.read(fetch{id: 13}, p); !errors.Is(err, logserver.ErrUnreachable) {
		t.Errorf("an error of the log: %v", err)
	}
}

// TestReadLogWaits: the north side's reads wait for a log server that cannot be
// reached, but not for ever.
func TestReadLogWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{cfg: Config{Log: &slowLog{}}, closing: make(chan struct{})}
		e.env = newEnvironment(e)
		e.machine = newCore(e.env, e.cfg.Log)
		if _, err := e.ReadLog(0, 1, func(uint16) bool { return true }, make([]byte, 1), 0); err == nil {
			t.Error("a connection that is not there is read")
		}
		began := time.Now()
		read := func(id logserver.ConnID) (int, error) { return e.cfg.Log.Read(id, make([]byte, 1), 0) }
		if _, err := e.readLog(func() (logserver.ConnID, bool) { return 13, true }, read); !errors.Is(err, logserver.ErrUnreachable) {
			t.Errorf("error is %v", err)
		}
		if d := time.Since(began); d < reachable || d > reachable+time.Second {
			t.Errorf("it waited %v", d)
		}
	})
}
