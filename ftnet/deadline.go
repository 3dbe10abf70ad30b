package ftnet

import (
	"sync/atomic"
	"time"
)

// deadline is one that a handler has set. Who sets the host's clock does not move it, as
// with the kernel's connections. The zero value is none.
type deadline struct {
	at atomic.Pointer[time.Time] // with a monotonic reading; nil: none
}

func (d *deadline) set(t time.Time) {
	if t.IsZero() {
		d.at.Store(nil)
		return
	}
	t = time.Now().Add(time.Until(t))
	d.at.Store(&t)
}

// get returns the deadline, if there is one.
func (d *deadline) get() (t time.Time, ok bool) {
	if p := d.at.Load(); p != nil {
		return *p, true
	}
	return time.Time{}, false
}

func (d *deadline) passed() bool {
	t, ok := d.get()
	return ok && time.Until(t) <= 0
}
