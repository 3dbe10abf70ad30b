// Package storetest is a store.Store in memory, for tests of what stands above one, and an
// example of how little a store needs to be: [Mem] loses what is not stable when its host
// loses power, fills up, and fails when it is told to.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

// Config says what a Mem is like.
type Config struct {
	// Segment is how many bytes of records a segment holds, Segments how many there may
	// be before the owner is asked to free some, Capacity how many there can be: one
	// of them is the reserve. Capacity may be changed by SetCapacity.
	Segment            int64
	Segments, Capacity int
	// Frames has records written from where they wait.
	Frames bool
	// Fail, if not nil, is asked before each step that a device takes: the
	// error that it returns is the step's.
	Fail func(step Step) error
}

// Step is something that a device does.
type Step string

// The steps of Append are Begin for a new segment, Write when the first half of the batch is in
// the device's memory, and Sync when all of it is, and nothing is stable.
const (
	Begin Step = "begin"
	Write Step = "write"
	Sync  Step = "sync"
	Free  Step = "free"
	Read  Step = "read"
)

// Mem is a store in memory. Its methods are safe as store.Store says.
type Mem struct {
	cfg   Config
	owner store.Owner

	mu       sync.Mutex // guards the fields below
	segments []*segment // in order; the last is the one that is appended to, while open
	open     bool
	reserve  bool // the last segment is the reserve; Append's
	next     uint32
	full     bool
	closed   bool
	crashed  bool
}

type segment struct {
	id    uint32
	head  []byte
	begun bool   // something in it is stable
	recs  []kept // stable
	torn  []kept // under way
	bytes int64
	ended time.Time
}

// kept is a record and its batch's time.
type kept struct {
	store.Header
	time    int64
	payload []byte
}

var _ store.Store = (*Mem)(nil)

// ErrCrashed is what every call returns after Crash.
var ErrCrashed = errors.New("storetest: the power is gone")

const (
	lead, head, align = 16, 40, 8
	overhead          = 4096
)

// New returns an empty store.
func New(cfg Config) *Mem { return &Mem{cfg: cfg, next: 1} }

// Crash takes the power: nothing that is called on m works any more. What it returns holds what
// was stable, and of what was being written up to keep records.
func (m *Mem) Crash(keep int) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	again := New(m.cfg)
	again.next = m.next
	for _, s := range m.segments {
		recs := append(slices.Clone(s.recs), s.torn[:min(keep, len(s.torn))]...)
		if s.begun || len(recs) > 0 {
			again.segments = append(again.segments, &segment{id: s.id, head: s.head, begun: true, recs: recs, bytes: s.bytes})
		}
	}
	return again
}

// SetCapacity changes how many segments there can be.
func (m *Mem) SetCapacity(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Capacity = n
}

// step asks whether a step of the device works. m.mu is not held.
func (m *Mem) step(s Step) error {
	if m.cfg.Fail != nil {
		if err := m.cfg.Fail(s); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed || m.closed {
		return ErrCrashed
	}
	return nil
}

// Load implements store.Store.
func (m *Mem) Load(o store.Owner, v store.Visitor) (store.Loaded, error) {
	m.owner = o
	var l store.Loaded
	if err := m.step(Read); err != nil {
		return l, err
	}
	for _, s := range m.segments {
		v.Segment(s.id, s.head)
		_ = m.scan(s, func(f *store.Found) error { v.Record(f); return nil })
		l.Segments, l.Newest = l.Segments+1, s.id
	}
	return l, nil
}

func (m *Mem) scan(s *segment, f func(*store.Found) error) error {
	for i, r := range s.recs {
		if r.Type == store.Void {
			continue
		}
		found := store.Found{Place: store.Place{Segment: s.id, At: uint32(i)}, Header: r.Header, Time: r.time, Payload: r.payload}
		if err := f(&found); err != nil {
			return err
		}
	}
	return nil
}

// check panics if a batch is not what store.Batch says.
func (m *Mem) check(b *store.Batch) {
	at := lead
	for i := range b.Records {
		r := &b.Records[i]
		var sum uint32
		n := 0
		for _, p := range r.Payload {
			n += len(p)
		}
		if r.Frame > 0 {
			n += int(r.N)
			sum = crc32.Checksum(b.Frame[r.Frame+head:][:r.N], castagnoli)
		}
		if n != int(r.N) || r.Frame > 0 && r.Frame != at || sum != r.Sum && r.Frame > 0 {
			panic(fmt.Sprintf("storetest: record %d of a batch: %d bytes, in a Frame of %d at %d: %+v", i, n, len(b.Frame), at, r.Header))
		}
		if r.Frame > 0 {
			at += m.Size(int(r.N))
		}
	}
	if b.Frame != nil && at != len(b.Frame) {
		panic(fmt.Sprintf("storetest: a Frame of %d bytes with records up to %d", len(b.Frame), at))
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append implements store.Store. It panics if the batch is not what it must be.
func (m *Mem) Append(b *store.Batch) (int, error) {
	m.check(b)
	s, n, err := m.place(b)
	if err != nil {
		return 0, err
	}
	torn := make([]kept, n)
	for i := range torn {
		r := &b.Records[i]
		torn[i] = kept{Header: r.Header, time: b.Time}
		for _, p := range r.Payload {
			torn[i].payload = append(torn[i].payload, p...)
		}
		if r.Frame > 0 {
			torn[i].payload = slices.Clone(b.Frame[r.Frame+head:][:r.N])
		}
		r.At = uint32(len(s.recs) + i)
	}
	if err = m.under(s, torn[:n/2], Write); err == nil {
		err = m.under(s, torn, Sync)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.crashed || m.closed {
			return 0, err
		}
		m.end(s) // nobody knows what is there: the rest of the segment is not used
		s.torn = nil
		if !s.begun {
			m.segments = m.segments[:len(m.segments)-1]
		}
		return 0, fmt.Errorf("%w: %w", store.ErrAgain, err)
	}
	s.recs, s.torn, s.begun = append(s.recs, torn...), nil, true
	for _, r := range torn {
		s.bytes += int64(m.Size(int(r.N)))
	}
	if !b.Reserve {
		m.full = false
	}
	b.Segment = s.id
	return n, nil
}

// under is a step by which part of a batch comes to lie in the device's memory.
func (m *Mem) under(s *segment, part []kept, step Step) error {
	m.mu.Lock()
	s.torn = part
	m.mu.Unlock()
	return m.step(step)
}

// place returns the segment where a beginning of the batch is to lie, and how many records that
// is.
func (m *Mem) place(b *store.Batch) (*segment, int, error) {
	m.mu.Lock()
	have, most, last, reserve := len(m.segments), m.most(), m.last(), m.reserve
	m.mu.Unlock()
	wait := have+2 > m.cfg.Segments && m.owner.CanFree()
	if last != nil && reserve && !b.Reserve {
		if err := m.grow(have+1, wait); err != nil {
			return nil, 0, err
		}
		m.reserve = false
	}
	if last != nil {
		if n := m.fitting(last, b.Records); n > 0 || len(b.Records) == 0 {
			return last, n, nil
		}
	}
	// Another segment, besides which there is to be one more, as a reserve.
	err := m.grow(have+2, wait)
	isLast := err != nil
	if isLast && (!b.Reserve || have >= most) {
		return nil, 0, err
	}
	if err := m.step(Begin); err != nil {
		return nil, 0, err
	}
	s := &segment{head: m.owner.Head(nil)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last != nil {
		m.end(last)
	}
	s.id = m.next
	m.next++
	m.segments, m.open, m.reserve = append(m.segments, s), true, isLast
	return s, m.fitting(s, b.Records), nil
}

// grow returns why there cannot be n segments, or are not to be.
func (m *Mem) grow(n int, wait bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case n > m.most():
		m.full = true
		return store.ErrFull
	case wait:
		return store.ErrWait
	}
	return nil
}

// most is how many segments there can be. m.mu is held.
func (m *Mem) most() int {
	if m.cfg.Capacity == 0 {
		return 1 << 30
	}
	return m.cfg.Capacity
}

// last returns the segment that is appended to, or nil. m.mu is held.
func (m *Mem) last() *segment {
	if !m.open {
		return nil
	}
	return m.segments[len(m.segments)-1]
}

// end ends the segment that is appended to. m.mu is held.
func (m *Mem) end(s *segment) { s.ended, m.open = time.Now(), false }

// fitting returns how many records fit.
func (m *Mem) fitting(s *segment, recs []store.Record) int {
	left := m.cfg.Segment - s.bytes - overhead
	for n := range recs {
		if left -= int64(m.Size(int(recs[n].N))); left < 0 {
			return n
		}
	}
	return len(recs)
}

// NewFrame implements store.Store.
func (m *Mem) NewFrame(n int) []byte { return make([]byte, n) }

// get returns a segment. m.mu is held.
func (m *Mem) get(id uint32) *segment {
	i := slices.IndexFunc(m.segments, func(s *segment) bool { return s.id == id })
	return m.segments[i]
}

// Read implements store.Store.
func (m *Mem) Read(p store.Place, h store.Header, buf []byte) ([]byte, error) {
	if err := m.step(Read); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.get(p.Segment).recs[p.At]
	if r.Flags, h.Flags = 0, 0; r.Header != h {
		return nil, fmt.Errorf("storetest: %v: %w", p, store.ErrDamaged)
	}
	return buf[:copy(buf, r.payload)], nil
}

// Scan implements store.Store.
func (m *Mem) Scan(id uint32, f func(*store.Found) error) error {
	if err := m.step(Read); err != nil {
		return err
	}
	m.mu.Lock()
	s := m.get(id) // nothing changes in it any more
	m.mu.Unlock()
	return m.scan(s, f)
}

// Void implements store.Store.
func (m *Mem) Void(list []store.Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range list {
		m.get(p.Segment).recs[p.At].Type = store.Void
	}
	return nil
}

// Segments implements store.Store.
func (m *Mem) Segments(list []store.Segment) []store.Segment {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.segments {
		if s != m.last() {
			list = append(list, store.Segment{ID: s.id, Size: m.cfg.Segment, Ended: s.ended, MayFree: true})
		}
	}
	return list
}

// Free implements store.Store.
func (m *Mem) Free(id uint32) error {
	if err := m.step(Free); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.segments = slices.DeleteFunc(m.segments, func(s *segment) bool { return s.id == id })
	return nil
}

// Settle implements store.Store.
func (m *Mem) Settle() {}

// Prepare implements store.Store.
func (m *Mem) Prepare(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := m.full && len(m.segments)+2 <= m.most()
	m.full = m.full && !more
	return more, nil
}

// Size implements store.Store.
func (m *Mem) Size(n int) int { return (head + n + align - 1) &^ (align - 1) }

// Layout implements store.Store.
func (m *Mem) Layout() store.Layout {
	l := store.Layout{Segment: m.cfg.Segment, Overhead: overhead}
	if m.cfg.Frames {
		l.Lead, l.Head, l.Align = lead, head, align
	}
	return l
}

// Name implements store.Store.
func (m *Mem) Name(segment uint32) string { return fmt.Sprint("segment ", segment) }

// Full implements store.Store.
func (m *Mem) Full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full || len(m.segments)+3 > m.cfg.Segments
}

// Low implements store.Store.
func (m *Mem) Low() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full
}

// Close implements store.Store.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
