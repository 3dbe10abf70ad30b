package memory

import (
	"sync/atomic"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// space counts the occupied bytes against the total quota and keeps the
// status that follows from them.
type space struct {
	limit, low int64
	used       atomic.Int64
	status     table.Status
}

// take occupies n bytes, if there is room.
func (s *space) take(n int64) bool {
	for {
		used := s.used.Load()
		if n > s.limit-used {
			return false
		}
		if s.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (s *space) give(n int64) { s.used.Add(-n) }

func (s *space) room() int64 { return max(0, s.limit-s.used.Load()) }

func (s *space) full() error {
	return &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: s.limit}
}

// check tells a change of the status. The caller holds no lock.
func (s *space) check() { s.status.Occupied(s.used.Load(), s.low) }
