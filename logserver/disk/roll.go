package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/disk/internal/vfs"
)

// errWait is why data waits for the cleaner.
var errWait = fmt.Errorf("%w: the cleaner must set some free", errNoSpace)

// roll begins the next segment.
func (l *Log) roll() error {
	w := &l.writer
	sp, reserve, err := l.nextFile()
	if err != nil {
		return err
	}
	h := format.SegmentHeader{ID: uint64(sp.id), Size: sp.size}
	_, _ = rand.Read(h.Salt[:]) // never fails
	codec, err := format.NewCodec(&h, l.cfg.Key)
	if err != nil {
		return err
	}
	s := &segment{id: sp.id, path: sp.path, file: sp.file, codec: codec, size: sp.size, end: format.Begin, filled: sp.filled}
	if w.head != nil {
		l.seal(w.head)
	}
	l.mu.Lock()
	if w.head != nil {
		w.head.sealed, w.head.sealedAt = true, time.Now()
	}
	l.segments[s.id] = s
	l.mu.Unlock()
	if w.head != nil {
		w.prev = w.head
	}
	w.head, w.fresh, w.batch, w.reserve = s, true, 0, reserve
	w.index.Reset()
	w.header = h
	l.tender.rolled.Store(time.Now().UnixNano())
	l.tender.rouse()
	return nil
}

// fillHeader completes head's header, just before it is written.
func (l *Log) fillHeader() *format.SegmentHeader {
	w := &l.writer
	if w.prev != nil {
		w.header.Prev, w.header.PrevEnd = uint64(w.prev.id), w.prev.end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers.fill(&w.header)
	return &w.header
}

// nextFile returns the file for the next segment, and whether it is the
// reserve: the last spare, while there cannot be another.
func (l *Log) nextFile() (*spare, bool, error) {
	l.rolling.Lock()
	defer l.rolling.Unlock()
	err := l.growTo(2)
	reserve := len(l.spares) < 2
	if reserve && l.helpersFirst() == 0 {
		return nil, false, err
	}
	if len(l.spares) == 0 && errors.Is(err, errWait) {
		err = l.addFile() // the cleaner cannot go on without
	}
	if len(l.spares) == 0 {
		return nil, false, err
	}
	sp := l.spares[0]
	l.spares = l.spares[1:]
	return sp, reserve, nil
}

// leaveReserve makes head a segment like others, if there can be another
// reserve.
func (l *Log) leaveReserve() error {
	l.rolling.Lock()
	defer l.rolling.Unlock()
	if err := l.growTo(1); err != nil {
		return err
	}
	l.writer.reserve = false
	return nil
}

// leaveUnfilled ends a segment that has only begun, if its file was not filled
// and another one is: each write to it costs the file system a transaction. Such
// is the first segment of each start, which must not wait until one is filled.
func (l *Log) leaveUnfilled() {
	w := &l.writer
	if w.head == nil || w.head.filled || w.fresh || w.reserve || w.head.end > w.head.size/8 {
		return
	}
	l.rolling.Lock()
	better := len(l.spares) > 1 && l.spares[0].filled
	l.rolling.Unlock()
	if better {
		_ = l.roll() // else head is good enough
	}
}

// growTo makes spares until there are n, which are not filled: there is no
// time for it. l.rolling is held.
func (l *Log) growTo(n int) error {
	for len(l.spares) < n {
		if err := l.mayGrow(); err != nil {
			return err
		}
		if err := l.addFile(); err != nil {
			return err
		}
	}
	return nil
}

// addFile makes one more spare. l.rolling is held.
func (l *Log) addFile() error {
	file, path, err := l.makeFile(vfs.File.Allocate)
	if err != nil {
		return err
	}
	return l.addMade(file, path, false)
}

// addFilled makes one more spare, and fills it. l.rolling is not held: it takes
// a while.
func (l *Log) addFilled() error {
	file, path, err := l.makeFile(vfs.File.Fill)
	if err != nil {
		return err
	}
	l.rolling.Lock()
	defer l.rolling.Unlock()
	if err := l.mayGrow(); err != nil {
		return errors.Join(err, file.Close(), l.fs.Remove(path))
	}
	return l.addMade(file, path, true)
}

// addMade makes a spare of a new file. l.rolling is held.
func (l *Log) addMade(file vfs.File, path string, filled bool) error {
	path, err := l.addSpare(file, path, l.cfg.Segment, filled)
	if err != nil {
		return errors.Join(err, file.Close(), l.fs.Remove(path))
	}
	return nil
}

// mayGrow returns errWait if the log must not have more files, and the cleaner
// can help. l.rolling is held.
func (l *Log) mayGrow() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opening || len(l.segments)+len(l.spares) < l.limit() || !l.canShrink() {
		return nil
	}
	return errWait
}

// makeFile makes a file that can become a spare.
func (l *Log) makeFile(prepare func(vfs.File, int64) error) (vfs.File, string, error) {
	l.mu.Lock()
	l.files++
	path := filepath.Join(l.dir, fmt.Sprintf("%d%s", l.files, spareSuffix))
	l.mu.Unlock()
	file, err := l.fs.Create(path)
	if err != nil {
		return nil, "", err
	}
	if err = prepare(file, l.cfg.Segment); err == nil {
		// A segment that is shorter than its header says was cut on purpose.
		err = file.Sync()
	}
	if err != nil {
		return nil, "", errors.Join(err, file.Close(), l.fs.Remove(path))
	}
	return file, path, nil
}

// addSpare gives a file the name of a segment to be, so that nothing but its
// header is missing, and returns its path, also after an error. l.rolling is
// held.
func (l *Log) addSpare(file vfs.File, path string, size int64, filled bool) (string, error) {
	id := l.nextSeg
	to := l.segmentPath(id)
	if err := l.fs.Rename(path, to); err != nil {
		return path, err
	}
	l.nextSeg++
	if err := l.fs.SyncDir(l.dir); err != nil {
		return to, err
	}
	l.spares = append(l.spares, &spare{id, to, file, size, filled})
	return to, nil
}

// seal ends a segment with its index. That need not be stable: without it, the
// segment is read from front to back.
func (l *Log) seal(s *segment) {
	l.mu.Lock()
	cut := s.cut
	l.mu.Unlock()
	if cut || s.end == format.Begin {
		return
	}
	end := s.end + int64(s.codec.Size(len(l.writer.index.Bytes())))
	if end+format.HeaderSize > s.size {
		return
	}
	buf := l.indexRecord(s)
	_, err := s.file.WriteAt(buf, s.end)
	if err == nil {
		_, err = s.file.WriteAt(l.trailer(s, s.size-format.HeaderSize), s.size-format.HeaderSize)
	}
	if err != nil {
		l.cfg.Warn("a file's index cannot be written: the log will take longer to open", "file", s.path, "error", err)
	}
}

func (l *Log) indexRecord(s *segment) []byte {
	index := l.writer.index.Bytes()
	buf := make([]byte, s.codec.Size(len(index)))
	s.codec.Put(buf, format.Header{Type: format.Index, N: uint32(len(index)), Batch: l.writer.batch + 1, Pos: uint32(s.end)}, index)
	return buf
}

func (l *Log) trailer(s *segment, pos int64) []byte {
	b := make([]byte, format.HeaderSize)
	s.codec.PutPlain(b, format.Header{Type: format.Trailer, Conn: uint64(s.id), Offset: s.end, Pos: uint32(pos)})
	return b
}

// sealLast ends the log's last segment and gives the rest of its file back.
func (l *Log) sealLast() error {
	s := l.writer.head
	if s == nil || s.end == format.Begin {
		return nil
	}
	l.mu.Lock()
	cut := s.cut
	l.mu.Unlock()
	if cut {
		return nil
	}
	buf := l.indexRecord(s)
	end := s.end + int64(len(buf))
	buf = append(buf, l.trailer(s, end)...)
	_, err := s.file.WriteAt(buf, s.end)
	if err == nil {
		err = s.file.Truncate(end + format.HeaderSize)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil { // nothing is lost
		l.cfg.Warn("the last file's index cannot be written: the log will take longer to open", "file", s.path, "error", err)
	}
	return nil
}

// abandon gives head up after a failure: nothing is known about what was
// written since it was last made stable. What it held before is as good as ever.
func (l *Log) abandon() {
	w := &l.writer
	l.counters.abandoned.Add(1)
	l.mu.Lock()
	w.head.sealed, w.head.cut, w.head.sealedAt = true, true, time.Now()
	l.mu.Unlock()
	if w.head.end > format.Begin {
		w.prev = w.head
	}
	w.head = nil
	l.tender.rouse()
}
