package logbench

import (
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// lateBy is how long late keeps its upcalls back.
const lateBy = time.Millisecond

// late is a log in memory that tells later what is stable.
type late struct {
	logserver.Log
	stop chan struct{}
	done sync.WaitGroup

	mu             sync.Mutex // guards the fields below
	up             func([]logserver.Upcall)
	waiting        []logserver.Upcall
	end, told      map[logserver.ConnID]int64
	unstable, most int64
}

func openLate() (logserver.Log, error) {
	memory, err := openMemory()
	if err != nil {
		return nil, err
	}
	l := &late{Log: memory, stop: make(chan struct{}), end: map[logserver.ConnID]int64{}, told: map[logserver.ConnID]int64{}}
	memory.SetUpcall(l.keep)
	l.done.Go(l.tell)
	return l, nil
}

func (l *late) keep(list []logserver.Upcall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range list {
		l.unstable += u.Stable - l.end[u.ID]
		l.end[u.ID] = u.Stable
	}
	l.most = max(l.most, l.unstable)
	l.waiting = append(l.waiting, list...)
}

func (l *late) tell() {
	for {
		l.mu.Lock()
		list := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		select {
		case <-time.After(lateBy):
		case <-l.stop:
			return
		}
		l.mu.Lock()
		up := l.up
		for _, u := range list {
			l.unstable -= u.Stable - l.told[u.ID]
			l.told[u.ID] = u.Stable
		}
		l.mu.Unlock()
		if up != nil && len(list) > 0 {
			up(list)
		}
	}
}

func (l *late) SetUpcall(f func([]logserver.Upcall)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = f
}

func (l *late) Close() error {
	close(l.stop)
	l.done.Wait()
	return l.Log.Close()
}
