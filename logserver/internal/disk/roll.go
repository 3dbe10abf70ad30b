package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// roll begins the next segment; on the last spare if reserve is set and there can be no other.
func (f *files) roll(reserve bool) error {
	w := &f.writer
	sp, isLast, err := f.nextFile(reserve)
	if err != nil {
		return err
	}
	h := format.SegmentHeader{ID: uint64(sp.id), Size: sp.size}
	_, _ = rand.Read(h.Salt[:]) // never fails
	codec, err := format.NewCodec(&h, f.cfg.Key)
	if err != nil {
		return err
	}
	s := &segment{id: sp.id, path: sp.path, file: sp.file, codec: codec, size: sp.size, end: format.Begin, filled: sp.filled}
	if w.head != nil {
		f.seal(w.head)
	}
	f.mu.Lock()
	if w.head != nil {
		w.head.sealed, w.head.sealedAt = true, time.Now()
	}
	f.segments[s.id] = s
	f.mu.Unlock()
	if w.head != nil {
		w.prev = w.head
	}
	w.head, w.fresh, w.batch, w.reserve = s, true, 0, isLast
	w.index.Reset()
	w.header = h
	f.rolled.Store(time.Now().UnixNano())
	return nil
}

// fillHeader completes head's header, just before it is written.
func (f *files) fillHeader() *format.SegmentHeader {
	w := &f.writer
	if w.prev != nil {
		w.header.Prev, w.header.PrevEnd = uint64(w.prev.id), w.prev.end
	}
	w.header.Head = f.owner.Head(w.header.Head[:0])
	return &w.header
}

// nextFile returns the file for the next segment, and whether it is the
// last spare, while there cannot be another: only the reserve's records go there.
func (f *files) nextFile(reserve bool) (*spare, bool, error) {
	f.rolling.Lock()
	defer f.rolling.Unlock()
	err := f.growTo(2)
	isLast := len(f.spares) < 2
	if isLast && !reserve {
		return nil, false, err
	}
	if len(f.spares) == 0 && errors.Is(err, store.ErrWait) {
		err = f.addFile() // without one nothing can be set free
	}
	if len(f.spares) == 0 {
		return nil, false, err
	}
	sp := f.spares[0]
	f.spares = f.spares[1:]
	return sp, isLast, nil
}

// leaveReserve makes head a segment like others, if there can be another
// reserve.
func (f *files) leaveReserve() error {
	f.rolling.Lock()
	defer f.rolling.Unlock()
	if err := f.growTo(1); err != nil {
		return err
	}
	f.writer.reserve = false
	return nil
}

// leaveUnfilled ends a segment that has only begun, if its file was not filled
// and another one is: each write to it costs the file system a transaction. Such
// is the first segment of each start, which must not wait until one is filled.
func (f *files) leaveUnfilled() {
	w := &f.writer
	if w.head == nil || w.head.filled || w.fresh || w.reserve || w.head.end > w.head.size/8 {
		return
	}
	f.rolling.Lock()
	better := len(f.spares) > 1 && f.spares[0].filled
	f.rolling.Unlock()
	if better {
		_ = f.roll(false) // else head is good enough
	}
}

// growTo makes spares until there are n, which are not filled: there is no
// time for it. f.rolling is held.
func (f *files) growTo(n int) error {
	for len(f.spares) < n {
		if err := f.mayGrow(); err != nil {
			return err
		}
		if err := f.addFile(); err != nil {
			return err
		}
	}
	return nil
}

// addFile makes one more spare. f.rolling is held.
func (f *files) addFile() error {
	file, path, err := f.makeFile(vfs.File.Allocate)
	if err != nil {
		return err
	}
	return f.addMade(file, path, false)
}

// addFilled makes one more spare, and fills it. f.rolling is not held: it takes
// a while.
func (f *files) addFilled() error {
	file, path, err := f.makeFile(vfs.File.Fill)
	if err != nil {
		return err
	}
	f.rolling.Lock()
	defer f.rolling.Unlock()
	if err := f.mayGrow(); err != nil {
		return errors.Join(err, file.Close(), f.fs.Remove(path))
	}
	return f.addMade(file, path, true)
}

// addMade makes a spare of a new file. f.rolling is held.
func (f *files) addMade(file vfs.File, path string, filled bool) error {
	path, err := f.addSpare(file, path, f.cfg.Segment, filled)
	if err != nil {
		return errors.Join(err, file.Close(), f.fs.Remove(path))
	}
	return nil
}

// mayGrow returns store.ErrWait if there must not be more files, and the owner
// can set some free. f.rolling is held.
func (f *files) mayGrow() error {
	f.mu.Lock()
	n := len(f.segments) + len(f.spares)
	f.mu.Unlock()
	if f.opening || n < f.limit() || !f.owner.CanFree() {
		return nil
	}
	return store.ErrWait
}

// makeFile makes a file that can become a spare.
func (f *files) makeFile(prepare func(vfs.File, int64) error) (vfs.File, string, error) {
	f.mu.Lock()
	f.names++
	path := filepath.Join(f.dir, fmt.Sprintf("%d%s", f.names, spareSuffix))
	f.mu.Unlock()
	file, err := f.fs.Create(path)
	if err != nil {
		return nil, "", err
	}
	if err = prepare(file, f.cfg.Segment); err == nil {
		// A segment that is shorter than its header says was cut on purpose.
		err = file.Sync()
	}
	if err != nil {
		return nil, "", errors.Join(err, file.Close(), f.fs.Remove(path))
	}
	return file, path, nil
}

// addSpare gives a file the name of a segment to be, so that nothing but its
// header is missing, and returns its path, also after an error. f.rolling is
// held.
func (f *files) addSpare(file vfs.File, path string, size int64, filled bool) (string, error) {
	id := f.nextSeg
	to := f.segmentPath(id)
	if err := f.fs.Rename(path, to); err != nil {
		return path, err
	}
	f.nextSeg++
	if err := f.fs.SyncDir(f.dir); err != nil {
		return to, err
	}
	f.spares = append(f.spares, &spare{id, to, file, size, filled})
	return to, nil
}

// seal ends a segment with its index. That need not be stable: without it, the
// segment is read from front to back.
func (f *files) seal(s *segment) {
	if s.end == format.Begin {
		return
	}
	end := s.end + int64(s.codec.Size(len(f.writer.index.Bytes())))
	if end+format.HeaderSize > s.size {
		return
	}
	buf := f.indexRecord(s)
	_, err := s.file.WriteAt(buf, s.end)
	if err == nil {
		_, err = s.file.WriteAt(f.trailer(s, s.size-format.HeaderSize), s.size-format.HeaderSize)
	}
	if err != nil {
		f.cfg.Warn("a file's index cannot be written: the log will take longer to open", "file", s.path, "error", err)
	}
}

func (f *files) indexRecord(s *segment) []byte {
	index := f.writer.index.Bytes()
	buf := make([]byte, s.codec.Size(len(index)))
	s.codec.Put(buf, format.Header{Type: format.Index, N: uint32(len(index)), Batch: f.writer.batch + 1, Pos: uint32(s.end)}, index)
	return buf
}

func (f *files) trailer(s *segment, pos int64) []byte {
	b := make([]byte, format.HeaderSize)
	s.codec.PutPlain(b, format.Header{Type: format.Trailer, Conn: uint64(s.id), Offset: s.end, Pos: uint32(pos)})
	return b
}

// sealLast ends the log's last segment and gives the rest of its file back.
func (f *files) sealLast() {
	s := f.writer.head
	if s == nil || s.end == format.Begin {
		return
	}
	buf := f.indexRecord(s)
	end := s.end + int64(len(buf))
	buf = append(buf, f.trailer(s, end)...)
	_, err := s.file.WriteAt(buf, s.end)
	if err == nil {
		err = s.file.Truncate(end + format.HeaderSize)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil { // nothing is lost
		f.cfg.Warn("the last file's index cannot be written: the log will take longer to open", "file", s.path, "error", err)
	}
}

// abandon gives head up after a failure: nothing is known about what was
// written since it was last made stable. What it held before is as good as ever.
func (f *files) abandon() {
	w := &f.writer
	f.abandoned.Add(1)
	f.mu.Lock()
	w.head.sealed, w.head.cut, w.head.sealedAt = true, true, time.Now()
	f.mu.Unlock()
	if w.head.end > format.Begin {
		w.prev = w.head
	}
	w.head = nil
}
