package disk

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
)

// segment is a file that holds records.
type segment struct {
	id    uint32
	path  string
	file  vfs.File
	codec *format.Codec
	size  int64 // length of the file
	// end is where the records that are stable end. It is Append's, while that
	// writes the segment.
	end int64

	// filled tells that all of the file was written before, nearly: so it is
	// worth keeping.
	filled bool

	// Guarded by files.mu.
	sealed bool // nothing will be written any more
	cut    bool // what lies beyond end is to be cut off
	// settled tells that its end is stable, without the next one's header.
	settled bool
	// sealedAt is when it was sealed; zero if before the log was opened.
	sealedAt time.Time
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

func (f *files) segmentPath(id uint32) string {
	return filepath.Join(f.dir, fmt.Sprintf("%016x%s", id, segmentSuffix))
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
