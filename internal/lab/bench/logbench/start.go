package logbench

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// start measures how long a log that holds much takes to open, from a disk whose
// files are not in the page cache, and how fast all of it can be read then.
func (c Config) start(target Target, t *Table) (err error) {
	fmt.Fprintln(c.Progress, "  start")
	log, err := target.Open()
	if err != nil {
		return err
	}
	defer func() {
		if log != nil {
			err = errors.Join(err, log.Close())
		}
	}()
	f, err := newFeed(log, bulk.Conns)
	if err != nil {
		return err
	}
	if _, _, err := f.run(bulk, c.Stored, time.Hour); err != nil {
		return err
	}
	closing := log
	log = nil
	if err := closing.Close(); err != nil {
		return err
	}
	if err := forget(target.Dir); err != nil {
		return err
	}
	AwaitQuiet(c.Quiet)
	begin := time.Now()
	if log, err = target.Open(); err != nil {
		return err
	}
	metas, err := log.Active(0, bulk.Conns+1)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	begin = time.Now()
	n, err := readAll(log, metas)
	if err == nil && n != c.Stored {
		err = fmt.Errorf("%d of %d bytes are there after opening again", n, c.Stored)
	}
	if err != nil {
		return err
	}
	t.add(target.Name, fmt.Sprintf("start ms with %s", size(c.Stored)), micros(took)/1000)
	t.add(target.Name, "reading after the start, MiB/s", float64(n)/(1<<20)/time.Since(begin).Seconds())
	for _, m := range metas {
		if err := log.Delete(m.ID); err != nil {
			return err
		}
	}
	return nil
}

func readAll(log logserver.Log, metas []logserver.Meta) (total int64, err error) {
	p := make([]byte, 1<<20)
	for _, m := range metas {
		from, end, err := log.Length(m.ID)
		if err != nil {
			return 0, err
		}
		for from < end {
			n, err := log.Read(m.ID, p, from)
			if err != nil {
				return 0, err
			}
			if n == 0 {
				return 0, fmt.Errorf("connection %d: no bytes at %d of %d", m.ID, from, end)
			}
			from += int64(n)
			total += int64(n)
		}
	}
	return total, nil
}
