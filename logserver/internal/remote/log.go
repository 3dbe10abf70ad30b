package remote

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// Log is a log that a log server keeps.
type Log struct {
	cfg         Config
	tls         *tls.Config
	up          table.Upcalls
	statusUp    atomic.Pointer[func(logserver.Status)]
	contact     chan struct{} // closed when the server was reached once
	reachedOnce sync.Once     // closes it
	done        chan struct{} // closed when the link is to end for good
	stopped     chan struct{} // closed when it has
	wake        chan struct{} // tells the writer that there is something
	settled     chan struct{} // tells Close to look again

	mu     sync.Mutex // guards what follows
	closed bool
	conns  map[logserver.ConnID]*conn
	// deleted are connections whose numbers are not in own blocks.
	deleted  map[logserver.ConnID]bool
	ports    table.Ports
	queue    []item
	seq      uint64 // counts what was queued
	buffered int64  // bytes in all connections' data, from stable to taken
	gen      uint32 // of the last metadata
	runs     int64  // of reads that the server has not recorded yet

	// The session. next is the last number of blocks[last] that was used.
	blocks   []wire.Block
	own      map[uint32]bool // blocks, the session's old ones included
	next     uint32
	getBlock bool // another block was asked for

	link     *link // nil while the server cannot be reached
	reached  bool  // once
	server   wire.Status
	fences   map[string]chan struct{} // by service, see fence
	lost     bool                     // something, and nothing became stable since
	reported logserver.Status         // by the last upcall

	// After the server had no room for a connection: holding keeps all that
	// are not open there back, but for probe, which is tried now and then.
	holding   bool
	probe     *conn
	retryOpen bool
	heldReads []*conn
	retryAt   time.Time // zero if there is nothing to try again

	pending map[uint32]*request
	lastReq uint32

	sending bool     // chunks are being written
	retired []*chunk // given up meanwhile
	spare   spare
}

var _ logserver.Log = (*Log)(nil)

// Dial returns a log and connects in the background; the status is Unreachable
// until then, and Open returns logserver.ErrUnreachable: the server gives out
// the numbers of connections. See [Log.Wait].
func Dial(cfg Config) (*Log, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	l := &Log{
		cfg: cfg, contact: make(chan struct{}), done: make(chan struct{}), stopped: make(chan struct{}),
		wake: make(chan struct{}, 1), settled: make(chan struct{}, 1),
		conns: map[logserver.ConnID]*conn{}, deleted: map[logserver.ConnID]bool{},
		own: map[uint32]bool{}, fences: map[string]chan struct{}{}, pending: map[uint32]*request{},
		reported: logserver.Unreachable,
	}
	if cfg.TLS != nil {
		l.tls = secure(cfg.TLS, cfg.Address)
	}
	// So that another client's generations are not taken for this one's.
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails
	l.gen = binary.BigEndian.Uint32(seed[:]) >> 1
	go l.keepLinked()
	return l, nil
}

// Wait returns when the server was reached for the first time, and the status
// upcall has returned.
func (l *Log) Wait(ctx context.Context) error {
	select {
	case <-l.contact:
		return nil
	case <-l.done:
		return logserver.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", logserver.ErrUnreachable, context.Cause(ctx))
	}
}

// SetUpcall implements logserver.Log.
func (l *Log) SetUpcall(f func([]logserver.Upcall)) { l.up.Set(f) }

// SetStatusUpcall implements logserver.Log.
func (l *Log) SetStatusUpcall(f func(logserver.Status)) { l.statusUp.Store(&f) }

// Status implements logserver.Log.
func (l *Log) Status() logserver.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status()
}

func (l *Log) status() logserver.Status {
	if l.closed {
		return logserver.Failed
	}
	s := l.server.Status
	if l.link == nil {
		s |= logserver.Unreachable
	}
	if l.allFenced() {
		s |= logserver.Failed
	}
	if l.lost {
		s |= logserver.Other
	}
	return s
}

// announce makes a status upcall if the status has changed, or with flags that
// are reported once. l.mu is not held.
func (l *Log) announce(once logserver.Status) {
	l.mu.Lock()
	s := l.status()
	news := s != l.reported || once != 0
	l.reported = s
	l.mu.Unlock()
	if f := l.statusUp.Load(); news && f != nil && *f != nil {
		(*f)(s | once)
	}
}

// Usage implements logserver.Log: what the server has reported last.
func (l *Log) Usage() (used, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server.Used, l.server.Limit
}

// NumActive implements logserver.Log. It does not count what others have opened
// since the last contact.
func (l *Log) NumActive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	return len(l.conns)
}
