package table

import (
	"sync/atomic"

	"github.com/ftnet/ftnet/logserver"
)

// Status is a log's state, and what the last status upcall said of it. All methods may be
// called from any goroutine; those that make the upcall, with no lock held.
type Status struct {
	flags atomic.Uint32 // the logserver.Status now
	last  atomic.Uint32 // that of the last upcall
	up    atomic.Pointer[func(logserver.Status)]
}

// SetUpcall installs the status upcall.
func (s *Status) SetUpcall(f func(logserver.Status)) { s.up.Store(&f) }

// Now returns the state.
func (s *Status) Now() logserver.Status { return logserver.Status(s.flags.Load()) }

// Set sets flags; the next Tell makes the upcall.
func (s *Status) Set(f logserver.Status) {
	if s.Now()&f != f {
		s.flags.Or(uint32(f))
	}
}

// Unset is the opposite.
func (s *Status) Unset(f logserver.Status) {
	if s.Now()&f != 0 {
		s.flags.And(^uint32(f))
	}
}

// Occupied sets LowSpace by what is occupied, from low bytes on, and tells a change. LowSpace
// ends a sixteenth below where it began, so that a log at the threshold does not report twice
// for each write.
func (s *Status) Occupied(used, low int64) {
	switch {
	case used >= low:
		s.Set(logserver.LowSpace)
	case used < low-low/16:
		s.Unset(logserver.LowSpace)
	}
	s.Tell()
}

// Tell makes an upcall if the status has changed since the last.
func (s *Status) Tell() {
	if now := s.flags.Load(); now != s.last.Load() && s.last.Swap(now) != now {
		s.Announce(logserver.OK)
	}
}

// Announce makes an upcall with the status and the extra flags.
func (s *Status) Announce(extra logserver.Status) {
	if f := s.up.Load(); f != nil && *f != nil {
		(*f)(s.Now() | extra)
	}
}

// Close makes the state that of a closed log, and tells it.
func (s *Status) Close() {
	s.flags.Store(uint32(logserver.Failed))
	s.Tell()
}

// Upcalls is where a log's stability upcall goes. Both methods may be called from any goroutine.
type Upcalls struct {
	f atomic.Pointer[func([]logserver.Upcall)]
}

// Set installs the upcall.
func (u *Upcalls) Set(f func([]logserver.Upcall)) { u.f.Store(&f) }

// Wanted reports whether there is one.
func (u *Upcalls) Wanted() bool { f := u.f.Load(); return f != nil && *f != nil }

// Tell makes the upcall, if there is one and something to tell. No lock is held.
func (u *Upcalls) Tell(news []logserver.Upcall) {
	if f := u.f.Load(); len(news) > 0 && f != nil && *f != nil {
		(*f)(news)
	}
}
