package storelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store/storetest"
	"github.com/ftnet/ftnet/logserver/internal/storelog"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestCrash: whatever step of the store the power goes in, and whatever part of the batch that is being
// written is found, what upcalls have told is there, and nothing that was not taken.
func TestCrash(t *testing.T) {
	seen := map[storetest.Step]int{}
	for seed := range uint64(120) {
		if err := crashRun(seed, seen); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for _, step := range []storetest.Step{storetest.Begin, storetest.Write, storetest.Sync, storetest.Free} {
		if seen[step] == 0 {
			t.Errorf("no crash in %q: %v", step, seen)
		}
	}
}

// taken is a connection: what was taken, and what was called stable.
type taken struct {
	n      uint64 // its pattern's
	end    int64
	stable int64
	open   bool // its metadata is stable
	gone   bool // it was deleted
}

// calm is how many steps there are without an error while the log is only looked at.
const calm = 1 << 30

func crashRun(seed uint64, seen map[storetest.Step]int) error {
	r := rand.New(rand.NewPCG(seed, 5))
	steps, crashed := 0, false
	mem := storetest.Config{Segment: 64 << 10, Segments: 16, Frames: seed%2 == 0}
	mem.Fail = func(s storetest.Step) error {
		if crashed {
			return storetest.ErrCrashed
		}
		if s == storetest.Read {
			return nil
		}
		if steps--; steps <= 0 {
			crashed = true
			seen[s]++
			return storetest.ErrCrashed
		}
		if steps < calm && r.IntN(40) == 0 {
			return errDevice
		}
		return nil
	}
	m := storetest.New(mem)
	conns := map[logserver.ConnID]*taken{}
	for round := range 6 {
		steps, crashed = 1+r.IntN(150), false
		if err := live(r, m, conns, &crashed); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		m = m.Crash(r.IntN(10))
		steps, crashed = 2*calm, false
		if err := compare(m, conns); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		m = m.Crash(0)
	}
	return nil
}

func openManual(m *storetest.Mem) (*storelog.Log, error) {
	l, err := storelog.Open(m, storelog.Config{QuotaTotal: 1 << 20, Batch: 24 << 10, Manual: true})
	if err != nil {
		return nil, err
	}
	return l, l.RegisterService(0)
}

// live works with the log until the power goes, or for a while.
func live(r *rand.Rand, m *storetest.Mem, conns map[logserver.ConnID]*taken, crashed *bool) error {
	l, err := openManual(m)
	if err != nil {
		if errors.Is(err, errDevice) || *crashed {
			return nil
		}
		return err
	}
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if c := conns[u.ID]; c != nil {
				c.open, c.stable = true, max(c.stable, u.Stable)
			}
		}
	})
	for n := 0; n < 300 && !*crashed; n++ {
		var some []logserver.ConnID
		for id, c := range conns {
			if !c.gone {
				some = append(some, id)
			}
		}
		slices.Sort(some)
		switch k := r.IntN(10); {
		case len(some) < 4:
			id, err := l.Open(logtest.Example(n))
			if errors.Is(err, logserver.ErrQuota) {
				continue
			}
			if err != nil || conns[id] != nil {
				return fmt.Errorf("Open: %d, %w", id, err)
			}
			conns[id] = &taken{n: uint64(id)}
		case k < 5:
			id := some[r.IntN(len(some))]
			c := conns[id]
			p := logtest.Pattern(make([]byte, 1+r.IntN(20_000)), c.n, c.end)
			got, err := l.Write(id, c.end, p)
			if err != nil && !errors.Is(err, logserver.ErrQuota) {
				return fmt.Errorf("Write: %w", err)
			}
			c.end += int64(got)
		case k < 6:
			id := some[r.IntN(len(some))]
			conns[id].gone = true
			if err := l.Delete(id); err != nil {
				return err
			}
		case k < 7:
			storelog.Clean(l)
		default:
			for try := 0; try < 50 && storelog.Pending(l); try++ {
				if storelog.Step(l) != nil {
					storelog.Clean(l)
				}
			}
		}
	}
	return nil
}

// compare opens what is left, and takes its word from there.
func compare(m *storetest.Mem, conns map[logserver.ConnID]*taken) error {
	l, err := openManual(m)
	if err != nil {
		return err
	}
	if c := l.Counters(); c.LostBytes != 0 || c.LostRecords != 0 {
		return fmt.Errorf("claims a loss: %+v", c)
	}
	list, err := l.Active(0, 1000)
	if err != nil {
		return err
	}
	found := map[logserver.ConnID]bool{}
	for _, meta := range list {
		found[meta.ID] = true
		c := conns[meta.ID]
		if c == nil {
			return fmt.Errorf("connection %d was never open", meta.ID)
		}
		_, end, err := l.Length(meta.ID)
		if err != nil || end < c.stable || end > c.end {
			return fmt.Errorf("connection %d ends at %d, %v, want %d to %d", meta.ID, end, err, c.stable, c.end)
		}
		p := make([]byte, end)
		if n, err := l.Read(meta.ID, p, 0); err != nil || int64(n) != end || !bytes.Equal(p, logtest.Pattern(make([]byte, end), c.n, 0)) {
			return fmt.Errorf("Read of connection %d: %d of %d bytes, %v, or other ones", meta.ID, n, end, err)
		}
		c.open, c.gone, c.end, c.stable = true, false, end, end
	}
	for id, c := range conns {
		if !found[id] && c.open && !c.gone {
			return fmt.Errorf("connection %d is lost", id)
		}
		c.gone = c.gone || !found[id]
	}
	return nil
}
