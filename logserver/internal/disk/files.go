package disk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// files keeps records in the files of a directory. See the package's comment.
type files struct {
	cfg   Config
	dir   string
	fs    vfs.FS
	lock  io.Closer
	owner store.Owner

	noDisk    atomic.Bool // there is no space for what is to be written
	fewFree   atomic.Bool // the file system is nearly full
	abandoned atomic.Int64
	// rolled is when a segment was last begun, in Unix ns.
	rolled atomic.Int64

	// rolling guards the fields below. It is taken before the owner's locks and mu.
	rolling sync.Mutex
	spares  []*spare // files for the next segments, in order; the last is a reserve
	nextSeg uint32

	mu       sync.Mutex          // guards the fields below, and the segments' where they say so; the last lock
	segments map[uint32]*segment // all but spares
	names    int                 // of files to come

	writer  writer
	lost    int64     // places that nothing can be read from: Load's
	opening bool      // until the first Append has returned
	checked time.Time // when the free space was looked at; Prepare's
}

var _ store.Store = (*files)(nil)

func newFiles(dir string, cfg Config) *files {
	return &files{cfg: cfg, dir: dir, fs: cfg.fs, segments: make(map[uint32]*segment), nextSeg: 1, opening: true}
}

// Size implements store.Store.
func (f *files) Size(n int) int { return format.Size(n, f.cfg.Key != nil) }

// overhead is what a segment has besides records: its header, and the ends of
// some batches.
const overhead = format.Begin + 2*format.BatchAlign

// Layout implements store.Store. There are no Frames with encryption, which copies anyway.
func (f *files) Layout() store.Layout {
	layout := store.Layout{Segment: f.cfg.Segment, Overhead: overhead}
	if f.cfg.Key == nil {
		layout.Lead, layout.Head, layout.Align = format.HeaderSize, format.HeaderSize, format.Align
	}
	return layout
}

// NewFrame implements store.Store: a device can take its bytes.
func (f *files) NewFrame(n int) []byte { return vfs.AlignedBytes(n) }

// Name implements store.Store.
func (f *files) Name(segment uint32) string { return f.segmentPath(segment) }

// Full implements store.Store.
func (f *files) Full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.segments)+3 > f.limit() || f.noDisk.Load()
}

// Low implements store.Store.
func (f *files) Low() bool { return f.noDisk.Load() || f.fewFree.Load() }

// get returns a segment.
func (f *files) get(id uint32) *segment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.segments[id]
}

// Read implements store.Store.
func (f *files) Read(p store.Place, want store.Header, buf []byte) ([]byte, error) {
	s := f.get(p.Segment)
	_, err := s.file.ReadAt(buf, int64(p.At))
	var payload []byte
	if err == nil {
		if h, ok := s.codec.Header(buf, int64(p.At)); !ok || h.Type != want.Type || h.Conn != want.Conn || h.Offset != want.Offset || h.N != want.N {
			err = store.ErrDamaged
		} else {
			payload, err = s.codec.Payload(buf, h)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("disk: %s at %d: %w", s.path, p.At, err)
	}
	return payload, nil
}

// Scan implements store.Store.
func (f *files) Scan(segment uint32, found func(*store.Found) error) error {
	s := f.get(segment)
	v := teller{seg: segment}
	for in := newScanner(s.file, s.codec, min(s.end, s.size)); ; {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = v.tell(&r, found)
		}
		if err != nil {
			return fmt.Errorf("file %s: %w", s.path, err)
		}
	}
}

// teller tells of the records of a segment, one after the other.
type teller struct {
	seg   uint32
	time  int64 // of the batch
	found store.Found
}

func (v *teller) tell(r *rec, f func(*store.Found) error) error {
	switch r.h.Type {
	case format.Batch:
		v.time = r.h.Offset
		return nil
	case format.Index, format.Trailer, store.Void:
		return nil
	}
	v.found = store.Found{Place: store.Place{Segment: v.seg, At: r.h.Pos}, Header: r.h.Record(), Time: v.time, Payload: r.payload, Damaged: !r.ok}
	return f(&v.found)
}

// Void implements store.Store: the records lie beyond a gap, and would else be taken for
// what follows the bytes that will be written there.
func (f *files) Void(list []store.Place) error { return explain(f.dir, f.void(list)) }

func (f *files) void(list []store.Place) error {
	changed := map[*segment]bool{}
	for _, p := range list {
		s := f.get(p.Segment)
		b := make([]byte, format.HeaderSize)
		if _, err := s.file.ReadAt(b, int64(p.At)); err != nil {
			return err
		}
		s.codec.MakeVoid(b)
		if _, err := s.file.WriteAt(b, int64(p.At)); err != nil {
			return err
		}
		changed[s] = true
	}
	for s := range changed {
		// Its index must not be believed any more.
		if s.size-format.HeaderSize >= s.end+format.HeaderSize {
			if _, err := s.file.WriteAt(make([]byte, format.HeaderSize), s.size-format.HeaderSize); err != nil {
				return err
			}
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Close implements store.Store: it ends the last segment, closes all files and gives the
// directory free.
func (f *files) Close() error {
	f.sealLast()
	f.rolling.Lock()
	defer f.rolling.Unlock()
	for _, s := range f.segments {
		if s.file != nil {
			_ = s.file.Close() // all that matters was synced
		}
	}
	for _, s := range f.spares {
		_ = s.file.Close()
	}
	f.spares, f.writer.head = nil, nil
	if f.lock != nil {
		_ = f.lock.Close()
		f.lock = nil
	}
	return nil
}

// failure is an error of the file system, and what the caller of Append is to make of it.
type failure struct {
	error
	full, again bool
}

func (e failure) Unwrap() error { return e.error }

func (e failure) Is(target error) bool {
	return e.full && target == store.ErrFull || e.again && target == store.ErrAgain
}

// failed takes note that something could not be written. again tells that there may be
// another place for it.
func (f *files) failed(err error, again bool) error {
	if errors.Is(err, store.ErrWait) {
		return err
	}
	full := lacksSpace(err)
	if full {
		f.noDisk.Store(true)
	}
	return failure{err, full, again}
}

// lacksSpace tells errors that end when there is space.
func lacksSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, store.ErrFull)
}
