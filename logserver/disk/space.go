package disk

import (
	"sync/atomic"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// space counts what is live against the total quota, and keeps the status.
type space struct {
	limit, low int64
	most       int64        // bytes of records that may live
	raw        atomic.Int64 // bytes of live records
	flags      atomic.Uint32
	told       atomic.Uint32
	noDisk     atomic.Bool // there is no space for what is to be written
	fewFree    atomic.Bool // the file system is nearly full
	up         atomic.Pointer[func(logserver.Status)]
}

// overhead is what a segment has besides records: its header, and the ends of
// some batches.
const overhead = format.Begin + 2*format.BatchAlign

// init sets the limits. Three quarters of the disk space may live, for the
// cleaner must find segments that are worth it.
func (s *space) init(cfg Config) {
	s.limit, s.low = cfg.QuotaTotal, cfg.LowSpace
	s.most = cfg.QuotaTotal - cfg.QuotaTotal/4
	s.most -= int64(float64(s.most) * overhead / float64(cfg.Segment))
}

// used is what live bytes occupy, and as much of the rest.
func (s *space) used() int64 {
	return int64(float64(s.raw.Load()) * float64(s.limit) / float64(s.most))
}

// room is how many raw bytes there is room for.
func (s *space) room() int64 { return max(0, s.most-s.raw.Load()) }

func (s *space) full() error {
	return &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: s.limit}
}

// charge changes what a connection is charged for. Log.mu is held; after it,
// check is to be called without.
func (l *Log) charge(c *conn, n int64) {
	n = max(n, -c.raw)
	c.raw += n
	l.space.raw.Add(n)
}

func (s *space) now() logserver.Status { return logserver.Status(s.flags.Load()) }

func (s *space) set(f logserver.Status) { s.flags.Or(uint32(f)) }

func (s *space) unset(f logserver.Status) {
	if s.now()&f != 0 {
		s.flags.And(^uint32(f))
	}
}

// check sets LowSpace by what is occupied, and makes an upcall if the status
// has changed since the last. LowSpace ends a sixteenth below where it began,
// so that a log at the threshold does not report twice for each write. The
// caller holds no lock.
func (s *space) check() {
	switch used := s.used(); {
	case s.noDisk.Load() || s.fewFree.Load() || used >= s.low:
		if s.now()&logserver.LowSpace == 0 {
			s.set(logserver.LowSpace)
		}
	case used < s.low-s.low/16:
		s.unset(logserver.LowSpace)
	}
	if now := s.flags.Load(); now != s.told.Load() && s.told.Swap(now) != now {
		s.announce(logserver.OK)
	}
}

// announce makes an upcall with the status and the extra flags.
func (s *space) announce(extra logserver.Status) {
	if f := s.up.Load(); f != nil && *f != nil {
		(*f)(s.now() | extra)
	}
}

func (s *space) close() {
	s.raw.Store(0)
	s.noDisk.Store(false)
	s.fewFree.Store(false)
	s.flags.Store(uint32(logserver.Failed))
	if s.told.Swap(uint32(logserver.Failed)) != uint32(logserver.Failed) {
		s.announce(logserver.OK)
	}
}
