package rawio

import (
	"errors"
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// maxFetches is how many reads of the log are under way at once: enough to hide
// the round trips to another host for many connections, few enough that their
// buffers need little memory.
const maxFetches = 16

// fetches reads from logs whose reads may block, for the core. No goroutine runs while there
// is nothing to read.
type fetches struct {
	e *Engine

	mu      sync.Mutex // guards the fields below; taken after Engine.mu
	queue   []fetch
	running int
	closed  bool
}

// fetch is a call of south.Config.Fetch.
type fetch struct {
	slot, gen uint32
	id        logserver.ConnID
	off       int64
	n         int
}

func (f *fetches) add(t fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.queue = append(f.queue, t)
	if f.running < maxFetches {
		f.running++
		f.e.wg.Go(f.run)
	}
}

// close makes add do nothing from now on.
func (f *fetches) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue, f.closed = nil, true
}

func (f *fetches) next() (t fetch, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		f.running--
		return t, false
	}
	t = f.queue[0]
	f.queue = f.queue[1:]
	return t, true
}

func (f *fetches) run() {
	var buf []byte
	for {
		t, ok := f.next()
		if !ok {
			return
		}
		if cap(buf) < t.n {
			buf = make([]byte, t.n)
		}
		err := f.read(t, buf[:t.n])
		f.e.do(func(m *south.Machine) { m.Fetched(t.slot, t.gen, t.off, buf[:t.n], err) })
	}
}

var errShort = errors.New("rawio: the log returned fewer bytes than it reported stable")

// read reads all of p.
func (f *fetches) read(t fetch, p []byte) error {
	for off := t.off; len(p) > 0; {
		n, err := f.e.cfg.Log.Read(t.id, p, off)
		if err != nil {
			return err
		}
		if n == 0 {
			return errShort
		}
		off, p = off+int64(n), p[n:]
	}
	return nil
}
