package storelog

import (
	"sync/atomic"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// space counts what is live against the total quota, and keeps the status.
type space struct {
	limit, low int64
	most       int64        // bytes of records that may live
	raw        atomic.Int64 // bytes of live records
	status     table.Status
	store      store.Store
}

// init sets the limits. Three quarters of the store's space may live, for the
// cleaner must find segments that are worth it.
func (s *space) init(cfg Config, layout store.Layout, below store.Store) {
	s.limit, s.low, s.store = cfg.QuotaTotal, cfg.LowSpace, below
	s.most = cfg.QuotaTotal - cfg.QuotaTotal/4
	s.most -= int64(float64(s.most) * float64(layout.Overhead) / float64(layout.Segment))
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

// check tells a change of the status. The caller holds no lock.
func (s *space) check() {
	used := s.used()
	if s.store.Low() {
		used = max(used, s.low)
	}
	s.status.Occupied(used, s.low)
}

func (s *space) close() {
	s.raw.Store(0)
	s.status.Close()
}
