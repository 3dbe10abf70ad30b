package remote

import (
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

var _ logserver.Fencer = (*Log)(nil)

// Fenced implements logserver.Fencer.
func (l *Log) Fenced(service string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fence(service)
}

// fence is closed when another engine has taken over the service. l.mu is held.
func (l *Log) fence(service string) chan struct{} {
	f := l.fences[service]
	if f == nil {
		f = make(chan struct{})
		l.fences[service] = f
	}
	return f
}

// fenced reports whether it has. l.mu is held.
func (l *Log) fenced(service string) bool {
	f := l.fences[service]
	if f == nil {
		return false
	}
	select {
	case <-f:
		return true
	default:
		return false
	}
}

// allFenced reports whether others have taken over each service that this log was to write.
// l.mu is held.
func (l *Log) allFenced() bool {
	lost := false
	for name := range l.fences {
		lost = lost || l.fenced(name)
	}
	return lost && !slices.ContainsFunc(l.cfg.Services, func(name string) bool { return !l.fenced(name) })
}
