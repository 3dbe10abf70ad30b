package disk

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
)

var (
	crashPoints = flag.Int("crashes", 10_000, "crash points that TestCrash goes through")
	crashSeed   = flag.Uint64("crashseed", 0, "the only seed that TestCrash takes, if not 0")
)

// cleaned and abandoned show what the runs have gone through.
var cleaned, abandoned atomic.Int64

// TestCrash: a loss of power at any moment takes nothing with it that an upcall
// has called stable, and brings nothing back that was deleted for good.
func TestCrash(t *testing.T) {
	if *crashSeed != 0 {
		if _, err := crashRun(*crashSeed); err != nil {
			t.Fatal(err)
		}
		return
	}
	var points, seed atomic.Int64
	seed.Store(1000)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for points.Load() < int64(*crashPoints) && !t.Failed() {
				s := uint64(seed.Add(1))
				n, err := crashRun(s)
				points.Add(int64(n))
				if err != nil {
					t.Errorf("-crashseed=%d: %v", s, err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d crash points; %d segments were cleaned, %d given up after errors", points.Load(), cleaned.Load(), abandoned.Load())
	if cleaned.Load() == 0 || abandoned.Load() == 0 {
		t.Error("the sequences of operations miss something")
	}
}

// crashRun has a log crash several times, and compares what is left.
func crashRun(seed uint64) (crashes int, err error) {
	r := rand.New(rand.NewPCG(seed, 2))
	w := &world{
		r: r, fs: faultfs.New(seed), conns: map[logserver.ConnID]*modelConn{}, ids: map[logserver.ConnID]bool{}, next: 1 << 52,
	}
	w.given = seed%3 == 0
	w.fs.Direct = seed%5 != 0
	if seed%4 == 0 {
		w.key = make([]byte, 32)
	}
	for round := range 8 {
		w.fs.CrashAt = w.fs.Ops() + 1 + r.IntN([]int{8, 40, 150}[r.IntN(3)])
		w.faults(r)
		if err := w.live(); err != nil {
			return crashes, fmt.Errorf("round %d: %w%s", round, err, w.story())
		}
		crashes++
		if w.log != nil {
			c := w.log.Counters()
			cleaned.Add(c.Cleaned)
			abandoned.Add(c.Abandoned)
		}
		if r.IntN(5) == 0 {
			w.fs = w.fs.Kill(r.Uint64())
		} else {
			w.fs = w.fs.Crash(r.Uint64())
		}
		w.fs.Fail = nil
		w.fs.SetCapacity(0)
		w.warn = nil
		if err := w.open(); err != nil {
			return crashes, fmt.Errorf("round %d: Open after the crash: %w", round, err)
		}
		if c := w.log.Counters(); c.LostRecords != 0 || c.LostBytes != 0 {
			return crashes, fmt.Errorf("round %d: claims a loss: %+v%s", round, c, w.story())
		}
		if err := w.recovered(); err != nil {
			return crashes, fmt.Errorf("round %d: %w%s", round, err, w.story())
		}
		if r.IntN(4) == 0 {
			if err := w.log.Close(); err != nil {
				return crashes, fmt.Errorf("round %d: Close: %w", round, err)
			}
			w.settled()
			w.log = nil
		} else {
			w.fs = w.fs.Kill(r.Uint64()) // the lock goes, too
			w.log = nil
		}
	}
	return crashes, nil
}

func (w *world) story() string {
	if os.Getenv("STORY") == "" {
		return ""
	}
	s := ""
	for _, line := range w.warn {
		s += "\n\t" + line
	}
	return s
}

// live opens the log and works with it until the power goes.
func (w *world) live() error {
	if err := w.open(); err != nil {
		if w.fs.Crashed() || !errors.Is(err, faultfs.ErrCrashed) && w.fs.Fail != nil {
			return nil
		}
		return fmt.Errorf("Open: %w", err)
	}
	if err := w.recovered(); err != nil {
		if w.fs.Crashed() {
			return nil
		}
		return fmt.Errorf("opened again: %w", err)
	}
	for range 400 {
		if err := w.act(); err != nil {
			return err
		}
		if w.fs.Crashed() {
			return nil
		}
	}
	return nil
}

// faults lets some rounds have errors of the device, or a disk that is nearly
// full.
func (w *world) faults(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		f := rand.New(rand.NewPCG(r.Uint64(), 3))
		w.fs.Fail = func(op faultfs.Op, _ string) error {
			if op != faultfs.OpTruncate && f.IntN(15) == 0 {
				return faultfs.EIO
			}
			return nil
		}
	case 1:
		w.fs.SetCapacity(int64(3+r.IntN(5)) * minSegment)
	}
}
