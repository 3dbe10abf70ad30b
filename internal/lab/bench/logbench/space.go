package logbench

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// reclaimLimit is how long a log may take to give space back.
const reclaimLimit = 10 * time.Second

// bulk is how the measurements of space and start-up write.
var bulk = Load{Conns: 128, Size: 64 << 10, Window: 256 << 10}

// space measures what stored bytes occupy, what is left once they are deleted,
// and what is left of connections that come and go beside an old idle one.
func (c Config) space(target Target, t *Table) (err error) {
	log, err := target.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	fmt.Fprintln(c.Progress, "  space")
	AwaitQuiet(c.Quiet)
	f, err := newFeed(log, bulk.Conns)
	if err != nil {
		return err
	}
	if _, _, err := f.run(bulk, c.Stored, time.Hour); err != nil {
		return err
	}
	full, err := occupied(target.Dir)
	if err != nil {
		return err
	}
	if _, err := f.end(); err != nil {
		return err
	}
	left, err := reclaimed(target.Dir)
	if err != nil {
		return err
	}
	t.add(target.Name, fmt.Sprintf("MiB on disk with %s stored", size(c.Stored)), float64(full)/(1<<20))
	t.add(target.Name, "MiB on disk when all is deleted", float64(left)/(1<<20))

	most, left, err := c.pinned(log, target)
	if err != nil {
		return err
	}
	t.add(target.Name, "one idle connection, others pass: most MiB on disk", float64(most)/(1<<20))
	t.add(target.Name, "one idle connection, others passed: MiB on disk", float64(left)/(1<<20))
	return nil
}

// pinned has connections of 8 MiB come and go beside one that has sent 100
// bytes before all of them.
func (c Config) pinned(log logserver.Log, target Target) (most, left int64, err error) {
	old, err := newFeed(log, 1)
	if err != nil {
		return 0, 0, err
	}
	if _, _, err := old.run(Load{1, 100, 100}, 100, time.Hour); err != nil {
		return 0, 0, err
	}
	for range max(1, c.Stored/(64<<20)) {
		f, err := newFeed(log, 8)
		if err != nil {
			return 0, 0, err
		}
		if _, _, err := f.run(bulk, 64<<20, time.Hour); err != nil {
			return 0, 0, err
		}
		if _, err := f.end(); err != nil {
			return 0, 0, err
		}
		now, err := occupied(target.Dir)
		if err != nil {
			return 0, 0, err
		}
		most = max(most, now)
	}
	if left, err = reclaimed(target.Dir); err != nil {
		return 0, 0, err
	}
	_, err = old.end()
	return most, left, err
}

// reclaimed waits until what dir occupies has not become less for a second.
func reclaimed(dir string) (least int64, err error) {
	if least, err = occupied(dir); err != nil {
		return 0, err
	}
	begin := time.Now()
	for since := begin; time.Since(since) < time.Second && time.Since(begin) < reclaimLimit; time.Sleep(50 * time.Millisecond) {
		now, err := occupied(dir)
		if err != nil {
			return 0, err
		}
		if now < least {
			least, since = now, time.Now()
		}
	}
	return least, nil
}
