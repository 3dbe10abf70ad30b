package pebblelog

import "github.com/ftnet/ftnet/logserver"

// take occupies n bytes, if there is room. l.mu is held.
func (l *Log) take(n int64) bool {
	if l.used+n > l.cfg.QuotaTotal {
		return false
	}
	l.used += n
	return true
}

func (l *Log) full() error {
	return &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: l.cfg.QuotaTotal}
}

// unlock gives up l.mu and tells a change of the status.
func (l *Log) unlock() {
	switch {
	case l.closed:
	case l.used >= l.cfg.LowSpace:
		l.flags |= logserver.LowSpace
	case l.used < l.cfg.LowSpace-l.cfg.LowSpace/16:
		l.flags &^= logserver.LowSpace
	}
	now, changed := l.flags, l.flags != l.told
	l.told = now
	l.mu.Unlock()
	if changed {
		l.announce(now)
	}
}

func (l *Log) announce(s logserver.Status) {
	if f := l.status.Load(); f != nil && *f != nil {
		(*f)(s)
	}
}

// Status implements logserver.Log.
func (l *Log) Status() logserver.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flags
}

// Usage implements logserver.Log.
func (l *Log) Usage() (used, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used, l.cfg.QuotaTotal
}

// SetUpcall implements logserver.Log.
func (l *Log) SetUpcall(f func([]logserver.Upcall)) { l.up.Store(&f) }

// SetStatusUpcall implements logserver.Log.
func (l *Log) SetStatusUpcall(f func(logserver.Status)) { l.status.Store(&f) }
