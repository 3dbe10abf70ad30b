package disk

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/disk/internal/vfs"
)

// segment is a file of the log.
type segment struct {
	id    uint32
	path  string
	file  vfs.File
	codec *format.Codec
	size  int64 // length of the file
	// end is where the records that are stable end. The writer's, while it
	// writes the segment.
	end int64

	// Guarded by Log.mu.
	live   int64 // bytes of records that are not dead
	pins   int   // who reads the file
	sealed bool  // nothing will be written any more
	cut    bool  // what lies beyond end is to be cut off
	bad    bool  // holds something live that cannot be read
	tombs  []tomb
	// settled tells that its end is stable, without the next one's header.
	settled bool
	moving  bool // its Tombs are being written elsewhere
	// filled tells that all of the file was written before, nearly: so it is
	// worth keeping.
	filled bool
	// sealedAt is when it was sealed; zero if before the log was opened.
	sealedAt time.Time
}

// tomb is a Tomb record. It is needed as long as there is another segment of
// those that may hold records of the connection: from begun to last.
type tomb struct {
	conn        uint64
	begun, last uint32
}

// span is what a Tomb record has in place of an offset.
func (t tomb) span() int64 { return int64(uint64(t.last)<<32 | uint64(t.begun)) }

func newTomb(conn uint64, span int64) tomb {
	return tomb{conn, uint32(uint64(span)), uint32(uint64(span) >> 32)}
}

// spare is a file that will be a segment.
type spare struct {
	id   uint32
	path string
	file vfs.File
	size int64
	// filled tells that all of it was written before, so that writing it costs
	// the file system nothing else.
	filled bool
}

const (
	segmentSuffix = ".ftlog"
	spareSuffix   = ".new"
	lockName      = "lock"
)

func (l *Log) segmentPath(id uint32) string {
	return filepath.Join(l.dir, fmt.Sprintf("%016x%s", id, segmentSuffix))
}

// segmentName returns the number in a segment's file name.
func segmentName(name string) (uint32, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 32)
	return uint32(id), err == nil && id > 0
}

// limit is how many files the log may have.
func (l *Log) limit() int { return max(4, int(l.cfg.QuotaTotal/l.cfg.Segment)) }

// pin keeps a segment's file. l.mu is held.
func (s *segment) pin() { s.pins++ }

func (l *Log) unpin(s *segment) {
	l.mu.Lock()
	s.pins--
	l.mu.Unlock()
}
