package logdaemon

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver"
)

// kept is how many samples the percentiles are made of.
const kept = 1024

// patience is how long a sample is waited for. A write that added nothing has no
// upcall.
const patience = 30 * time.Second

// meter is a log that measures how long its bytes take to become stable, one
// write at a time, and that lets several be told of its status.
type meter struct {
	logserver.Log
	bytes  atomic.Uint64 // that it has taken
	armed  atomic.Bool   // there is a sample
	own    func(logserver.Status)
	others atomic.Pointer[func(logserver.Status)]

	mu      sync.Mutex // guards what follows
	id      logserver.ConnID
	end     int64 // of the sample's bytes
	began   time.Time
	samples []time.Duration // a ring, once there are enough of them
	next    int
}

// newMeter wraps a log. own is told each change of its status, besides whoever
// SetStatusUpcall has named.
func newMeter(l logserver.Log, own func(logserver.Status)) *meter {
	m := &meter{Log: l, own: own}
	l.SetStatusUpcall(func(s logserver.Status) {
		m.own(s)
		if f := m.others.Load(); f != nil {
			(*f)(s)
		}
	})
	return m
}

// Immediate implements logserver.Immediate.
func (m *meter) Immediate() bool { return logserver.IsImmediate(m.Log) }

// SetStatusUpcall implements logserver.Log.
func (m *meter) SetStatusUpcall(f func(logserver.Status)) {
	if f == nil {
		m.others.Store(nil)
		return
	}
	m.others.Store(&f)
}

// SetUpcall implements logserver.Log.
func (m *meter) SetUpcall(f func([]logserver.Upcall)) {
	if f == nil {
		m.Log.SetUpcall(nil)
		return
	}
	m.Log.SetUpcall(func(list []logserver.Upcall) {
		if m.armed.Load() {
			m.stable(list)
		}
		f(list)
	})
}

// Write implements logserver.Log.
func (m *meter) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	if len(p) > 0 && !m.armed.Load() {
		m.arm(id, off+int64(len(p)))
	}
	n, err := m.Log.Write(id, off, p)
	m.bytes.Add(uint64(n))
	if err != nil {
		m.disarm(id)
	}
	return n, err
}

// Delete implements logserver.Log.
func (m *meter) Delete(id logserver.ConnID) error {
	if m.armed.Load() {
		m.disarm(id)
	}
	return m.Log.Delete(id)
}

func (m *meter) arm(id logserver.ConnID, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.end, m.began = id, end, time.Now()
	m.armed.Store(true)
}

func (m *meter) disarm(id logserver.ConnID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == id {
		m.armed.Store(false)
	}
}

func (m *meter) stable(list []logserver.Upcall) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.armed.Load() {
		return
	}
	if slices.ContainsFunc(list, func(u logserver.Upcall) bool { return u.ID == m.id && u.Stable >= m.end }) {
		m.armed.Store(false)
		m.add(now.Sub(m.began))
	} else if now.Sub(m.began) > patience {
		m.armed.Store(false)
	}
}

func (m *meter) add(d time.Duration) {
	if len(m.samples) < kept {
		m.samples = append(m.samples, d)
		return
	}
	m.samples[m.next] = d
	m.next = (m.next + 1) % kept
}

// latency returns what was measured of late.
func (m *meter) latency() status.Latency {
	m.mu.Lock()
	sorted := slices.Sorted(slices.Values(m.samples))
	m.mu.Unlock()
	if len(sorted) == 0 {
		return status.Latency{}
	}
	at := func(percent int) float64 { return sorted[(len(sorted)-1)*percent/100].Seconds() }
	return status.Latency{Samples: len(sorted), P50: at(50), P99: at(99)}
}
