package logserver

import "sync/atomic"

// space counts the occupied bytes against the total quota and keeps the
// status that follows from them.
type space struct {
	limit, low int64
	used       atomic.Int64
	flags      atomic.Uint32 // the Status now
	told       atomic.Uint32 // the Status of the last upcall
	up         atomic.Pointer[func(Status)]
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

func (s *space) now() Status { return Status(s.flags.Load()) }

// set and unset change the flags; the next check makes the upcall.
func (s *space) set(f Status) { s.flags.Or(uint32(f)) }

func (s *space) unset(f Status) {
	if s.now()&f != 0 {
		s.flags.And(^uint32(f))
	}
}

// check sets LowSpace by what is occupied, and makes an upcall if the status
// has changed since the last. LowSpace ends a sixteenth below where it began,
// so that a log at the threshold does not report twice for each write. The
// caller holds no lock.
func (s *space) check() {
	switch used := s.used.Load(); {
	case used >= s.low:
		if s.now()&LowSpace == 0 {
			s.set(LowSpace)
		}
	case used < s.low-s.low/16:
		s.unset(LowSpace)
	}
	if now := s.flags.Load(); now != s.told.Load() && s.told.Swap(now) != now {
		s.announce(OK)
	}
}

// announce makes an upcall with the status and the extra flags.
func (s *space) announce(extra Status) {
	if f := s.up.Load(); f != nil && *f != nil {
		(*f)(s.now() | extra)
	}
}

func (s *space) close() {
	s.used.Store(0)
	s.flags.Store(uint32(Failed))
	s.check()
}
