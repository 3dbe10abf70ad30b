package disk

import (
	"io"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// Log is a log on a disk. See the package's comment.
type Log struct {
	cfg  Config
	dir  string
	fs   vfs.FS
	lock io.Closer

	space    space
	counters counters
	up       table.Upcalls

	mu        sync.Mutex // guards the fields below, all conns, and the segments' where they say so
	ports     table.Ports
	table     table.Table[*conn]
	numbers   numbers
	closed    bool
	queue     []*pend   // what waits for the writer, the oldest first
	waiting   int64     // bytes of client data that are not stable
	urgent    bool      // something in the queue should be written now
	timed     bool      // a timer will set urgent
	cleaning  []item    // copies that the cleaner wants written
	copying   int       // copies that wait or are being written
	cleaned   sync.Cond // copying is 0
	writing   bool      // the writer holds something
	chance    bool      // what failed may work now
	opening   bool      // Open has not returned yet
	files     int       // names of files to come
	memory    blocks
	bodies    bodies
	segments  map[uint32]*segment // all but spares
	newest    uint32              // the last segment whose header is stable
	stopping  bool                // Close was called: the writer ends when nothing waits
	writerErr error               // why the writer gave up, once it has
	wake      sync.Cond           // of the writer
	readers   sync.WaitGroup      // those that use segments' files; raised under mu while not closed
	lastWrite time.Time           // when the writer has last written

	// rolling guards the fields below, and is taken before mu.
	rolling sync.Mutex
	spares  []*spare // files for the next segments, in order; the last is a reserve
	nextSeg uint32

	writer writer
	tender tender
}

var _ logserver.Log = (*Log)(nil)

// Open opens the log in a directory, and makes one if there is none. config may
// be nil. It fails if another process has the log open, if the directory cannot
// be used, or if the log was written with another key or version. Damage does
// not make it fail: what is whole is used, Config.Warn and Counters tell what
// was lost.
func Open(dir string, config *Config) (*Log, error) {
	var cfg Config
	if config != nil {
		cfg = *config
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, dir: dir, fs: cfg.fs,
		segments: make(map[uint32]*segment),
		nextSeg:  1,
		opening:  true,
	}
	l.wake.L, l.cleaned.L = &l.mu, &l.mu
	l.space.init(cfg)
	l.tender.init()
	l.bodies.init(cfg)
	if err := l.openDir(); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		l.closeFiles()
		return nil, err
	}
	l.opening = false
	l.space.check()
	if !cfg.manual {
		l.writer.done.Go(l.write)
		l.tender.done.Go(l.tend)
	}
	return l, nil
}

// Close implements logserver.Log. It makes stable what was taken; if the device
// does not let it, it returns why. It must not be called from an upcall.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return logserver.ErrClosed
	}
	l.closed, l.stopping = true, true
	l.mu.Unlock()

	l.tender.stop()
	l.cleaned.Broadcast()
	l.tender.done.Wait()
	if l.cfg.manual {
		for l.step() == nil && l.pending() {
		}
	} else {
		l.wake.Broadcast()
		l.writer.done.Wait()
	}
	l.readers.Wait()

	l.mu.Lock()
	err := l.writerErr
	l.table.Clear()
	l.queue = nil
	l.mu.Unlock()
	if e := l.sealLast(); err == nil {
		err = e
	}
	l.closeFiles()
	l.space.close()
	return err
}

// closeFiles closes all files and gives the directory free.
func (l *Log) closeFiles() {
	l.rolling.Lock()
	defer l.rolling.Unlock()
	for _, s := range l.segments {
		if s.file != nil {
			_ = s.file.Close() // all that matters was synced
		}
	}
	for _, s := range l.spares {
		_ = s.file.Close()
	}
	l.spares = nil
	if l.lock != nil {
		_ = l.lock.Close()
		l.lock = nil
	}
}
