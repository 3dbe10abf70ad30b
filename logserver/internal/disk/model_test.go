package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/storelog"
)

// modelConn is what a connection must be like, and what it may be like: between
// what upcalls have told and what calls have said.
type modelConn struct {
	id    logserver.ConnID
	data  []byte // from offset 0 on
	reads []uint32
	start int64 // as asked for
	fin   bool
	meta  int // version of the metadata
	gone  bool

	// What is stable.
	open        bool
	stable      int64
	stableStart int64
	stableReads int
	stableMeta  int
	stableFin   bool
	stableGone  bool
}

// world is a log under test on a file system that fails, and its model.
type world struct {
	r     *rand.Rand
	fs    *faultfs.FS
	key   []byte
	log   *Log
	conns map[logserver.ConnID]*modelConn
	ids   map[logserver.ConnID]bool // all that were ever given out
	given bool                      // numbers are not the log's to choose
	next  logserver.ConnID
	warn  []string
}

func (w *world) config() *Config {
	return &Config{
		QuotaTotal: 1 << 20, Segment: minSegment, batch: 24 << 10, fs: w.fs, manual: true, Key: w.key, MinFree: 1,
		Warn: func(message string, pairs ...any) { w.warn = append(w.warn, fmt.Sprint(message, pairs)) },
	}
}

// open opens the log on what there is.
func (w *world) open() error {
	l, err := Open("/log", w.config())
	if err != nil {
		return err
	}
	w.log = l
	l.SetUpcall(w.upcall)
	return l.RegisterService(0)
}

// upcall notes what the log has promised.
func (w *world) upcall(list []logserver.Upcall) {
	for _, u := range list {
		c := w.conns[u.ID]
		if c == nil {
			continue
		}
		c.stable = max(c.stable, u.Stable)
		c.open = true
		c.stableFin = c.stableFin || u.Fin
	}
}

// settled is called when all that was taken is stable.
func (w *world) settled() {
	for _, c := range w.conns {
		c.open, c.stable, c.stableStart, c.stableReads = true, int64(len(c.data)), c.start, len(c.reads)
		c.stableMeta, c.stableFin, c.stableGone = c.meta, c.fin, c.gone
	}
}

func (w *world) pick() *modelConn {
	var live []*modelConn
	for _, c := range w.conns {
		if !c.gone {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b *modelConn) int { return int(int64(a.id) - int64(b.id)) })
	return live[w.r.IntN(len(live))]
}

func (w *world) meta(c *modelConn) logserver.Meta {
	return logserver.Meta{ID: c.id, Service: "s", Handshake: binary.AppendUvarint(nil, uint64(c.meta)), Flow: logserver.Flow{
		Client: netip.MustParseAddrPort("192.0.2.1:1000"), Server: netip.MustParseAddrPort("192.0.2.2:7000"),
	}}
}

// act does something at random. It returns an error if the log is wrong.
func (w *world) act() error {
	c := w.pick()
	n := w.r.IntN(100)
	if c == nil && n >= 10 {
		n = w.r.IntN(10)
	}
	switch {
	case n < 10:
		return w.create()
	case n < 45:
		return w.write(c)
	case n < 52:
		return w.read(c)
	case n < 58:
		lengths := make([]uint32, 1+w.r.IntN(4))
		for i := range lengths {
			lengths[i] = 1 + w.r.Uint32N(3000)
		}
		if err := w.log.WriteReads(c.id, lengths...); err == nil {
			c.reads = append(c.reads, lengths...)
		}
	case n < 63:
		c.meta++
		return w.log.Update(w.meta(c))
	case n < 66:
		if err := w.log.Finish(c.id, int64(len(c.data))); err != nil {
			return err
		}
		c.fin = true
	case n < 72:
		_, end, _ := w.log.Length(c.id)
		if end > c.start {
			through := c.start + 1 + w.r.Int64N(end-c.start)
			c.start = through
			return w.log.Rebase(c.id, logserver.Base{In: through, Out: 2 * through, State: binary.AppendUvarint(nil, uint64(through))})
		}
	case n < 78:
		c.gone = true
		return w.log.Delete(c.id)
	case n < 90:
		w.sync()
	default:
		w.log.clean()
	}
	return nil
}

// sync has the log write all that it has taken.
func (w *world) sync() {
	for range 200 {
		err := w.log.step()
		if err == nil && !w.log.pending() {
			w.settled()
			return
		}
		if err != nil {
			if errors.Is(err, store.ErrWait) {
				w.log.clean()
				continue
			}
			return
		}
	}
}

func (w *world) create() error {
	if len(w.conns) > 12 {
		return nil
	}
	c := &modelConn{}
	m := w.meta(c)
	if w.given {
		w.next++
		m.ID = w.next
	}
	id, err := w.log.Open(m)
	switch {
	case errors.Is(err, logserver.ErrQuota):
		return nil
	case errors.Is(err, logserver.ErrExists) && w.ids[m.ID]:
		return nil
	case err != nil:
		return fmt.Errorf("Open: %w", err)
	case m.ID == 0 && w.ids[id]:
		return fmt.Errorf("number %d is given out again", id)
	}
	c.id = id
	w.ids[id] = true
	w.next = max(w.next, 1<<52)
	w.conns[id] = c
	return nil
}

func (w *world) write(c *modelConn) error {
	n := w.r.IntN(200)
	if w.r.IntN(3) == 0 {
		n = w.r.IntN(30_000)
	}
	p := make([]byte, n)
	seed := w.r.Uint64()
	for i := range p {
		p[i] = byte(seed >> (i % 57))
	}
	write := func() (int, error) { return w.log.Write(c.id, int64(len(c.data)), p) }
	if w.r.IntN(2) == 0 {
		if loan := w.log.Lend(c.id, max(1, n)); loan != nil {
			defer loan.Return()
			copy(loan.Bytes(), p)
			if w.r.IntN(4) == 0 {
				p = loan.Bytes()[w.r.IntN(n+1):n]
			} else {
				write = func() (int, error) { return loan.Commit(n) }
			}
			if w.r.IntN(4) == 0 {
				w.sync() // takes the memory away
			}
			// What it does not need of the loan may change.
			defer func(rest []byte) { clear(rest) }(loan.Bytes()[n:])
		}
	}
	taken, err := write()
	if err != nil && !errors.Is(err, logserver.ErrQuota) && !errors.Is(err, logserver.ErrFinished) {
		return fmt.Errorf("Write: %w", err)
	}
	c.data = append(c.data, p[:taken]...)
	return nil
}

// read compares a part of what is stable.
func (w *world) read(c *modelConn) error {
	if w.fs.Crashed() {
		return nil
	}
	start, end, err := w.log.Length(c.id)
	if err != nil || start != c.start || end < c.stable || end > int64(len(c.data)) {
		return fmt.Errorf("Length of %d is %d..%d, %v, want %d..%d..%d", c.id, start, end, err, c.start, c.stable, len(c.data))
	}
	p := make([]byte, end-start)
	n, err := w.log.Read(c.id, p, start)
	if err != nil || int64(n) != end-start || !bytes.Equal(p, c.data[start:end]) {
		return fmt.Errorf("Read of %d from %d to %d: %d bytes, %v, or other ones", c.id, start, end, n, err)
	}
	return nil
}

// recovered compares the log after a crash with the model, and takes the
// log's word from there.
func (w *world) recovered() error {
	list, err := w.log.Active(0, 1000)
	if err != nil {
		return err
	}
	seen := map[logserver.ConnID]bool{}
	for _, m := range list {
		c := w.conns[m.ID]
		if c == nil {
			return fmt.Errorf("connection %d is there, and was never open or is long gone", m.ID)
		}
		seen[m.ID] = true
		if err := w.compare(c, m); err != nil {
			return fmt.Errorf("connection %d: %w", m.ID, err)
		}
	}
	for id, c := range w.conns {
		if seen[id] {
			continue
		}
		if c.open && !c.gone {
			return fmt.Errorf("connection %d is lost", id)
		}
		delete(w.conns, id)
	}
	w.settled()
	return nil
}

func (w *world) compare(c *modelConn, m logserver.Meta) error {
	start, end, err := w.log.Length(c.id)
	if err != nil {
		return err
	}
	whole, err := w.log.Meta(c.id)
	if err != nil {
		return err
	}
	v, _ := binary.Uvarint(m.Handshake)
	version := int(v)
	switch {
	case c.stableGone:
		return errors.New("it is there again after its deletion")
	case start < c.stableStart || start > c.start:
		return fmt.Errorf("start is %d, want %d to %d", start, c.stableStart, c.start)
	case whole.Base.In != start || whole.Base.Out != 2*start || start > 0 && !bytes.Equal(whole.Base.State, binary.AppendUvarint(nil, uint64(start))):
		return fmt.Errorf("the base is %+v where the data begins at %d", whole.Base, start)
	case end < c.stable || end > int64(len(c.data)):
		return fmt.Errorf("end is %d, want %d to %d", end, c.stable, len(c.data))
	case version < c.stableMeta || version > c.meta:
		return fmt.Errorf("metadata is of version %d, want %d to %d", version, c.stableMeta, c.meta)
	case c.stableFin && !m.Finished || m.Finished && (!c.fin || end != int64(len(c.data))):
		return fmt.Errorf("finished: %v, was %v, stable %v, end %d of %d", m.Finished, c.fin, c.stableFin, end, len(c.data))
	}
	p := make([]byte, end-start)
	n, err := w.log.Read(c.id, p, start)
	if err != nil || int64(n) != end-start || !bytes.Equal(p, c.data[start:end]) {
		return fmt.Errorf("Read from %d to %d: %d bytes, %v, or other ones", start, end, n, err)
	}
	if err := w.compareReads(c, start); err != nil {
		return err
	}
	c.data, c.start, c.meta, c.fin, c.gone = c.data[:end], start, version, m.Finished, false
	return nil
}

func (w *world) compareReads(c *modelConn, start int64) error {
	runs, err := w.log.Reads(c.id)
	if err != nil {
		return err
	}
	var pos int64
	var want []uint32
	kept := 0 // reads that are there, those that were discarded included
	for i, n := range c.reads {
		pos += int64(n)
		if pos <= start {
			kept = i + 1
		} else {
			want = append(want, uint32(min(int64(n), pos-start)))
		}
	}
	var have []uint32
	for _, run := range runs {
		for range run.Count {
			have = append(have, run.Length)
		}
	}
	if len(have) > len(want) || !slices.Equal(have, want[:len(have)]) || kept+len(have) < c.stableReads {
		return fmt.Errorf("reads are %v, want %v, %d of %d stable", have, want, c.stableReads, len(c.reads))
	}
	// What was not stable may be gone, also what lay below the start.
	c.reads = c.reads[:min(len(c.reads), kept+len(have))]
	if len(have) == 0 {
		to := storelog.ReadsEnd(w.log.Log, c.id)
		pos, n := int64(0), 0
		for ; n < len(c.reads) && pos < to; n++ {
			pos += int64(c.reads[n])
		}
		c.reads = c.reads[:n]
	}
	return nil
}
