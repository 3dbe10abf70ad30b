package ftnet

import (
	"math"
	"sync/atomic"
	"time"
)

// deadline is one that a handler has set. Who sets the host's clock does not move it, as
// with the kernel's connections. The zero value is none.
type deadline struct {
	at     atomic.Int64 // nanoseconds after begun; noDeadline, hasPassed
	waiter atomic.Pointer[func()]
}

const (
	noDeadline = 0
	// hasPassed: it lay before begun, or a call has failed because of it. Until it is set again
	// each call fails, whatever else happens.
	hasPassed = 1
)

// begun is when this process began.
var begun = time.Now()

func (d *deadline) set(t time.Time) {
	if t.IsZero() {
		d.at.Store(noDeadline)
		return
	}
	ahead, now := time.Until(t), time.Since(begun)
	switch {
	case ahead < -now:
		d.at.Store(hasPassed)
	default:
		d.at.Store(max(hasPassed+1, int64(now+min(ahead, math.MaxInt64-now))))
	}
	if f := d.waiter.Load(); f != nil && ahead <= 0 {
		(*f)()
	}
}

// get returns the deadline, if there is one: else the zero time.
func (d *deadline) get() (t time.Time, ok bool) {
	at := d.at.Load()
	if at == noDeadline {
		return time.Time{}, false
	}
	return begun.Add(time.Duration(at)), true
}

// passed reports whether it is known to have passed: see hasPassed.
func (d *deadline) passed() bool { return d.at.Load() == hasPassed }

// whenPassed has f called when one is set that has passed, until stop is called. There is one f
// at a time.
func (d *deadline) whenPassed(f func()) (stop func()) {
	d.waiter.Store(&f)
	if d.passed() {
		f()
	}
	return func() { d.waiter.Store(nil) }
}

// gone reports whether it has passed.
func (d *deadline) gone() bool {
	t, ok := d.get()
	return ok && time.Until(t) <= 0
}

// expire lets a deadline pass, if that is not known yet. It returns false if there is none.
func (d *deadline) expire() bool { return d.expired(d.at.Load()) }

// expired notes that the deadline has passed for a call at whose beginning at had the value was.
// It returns false if that is not the clock's doing: see hasPassed, or it was set meanwhile.
func (d *deadline) expired(was int64) bool {
	return was > hasPassed && d.at.CompareAndSwap(was, hasPassed)
}
