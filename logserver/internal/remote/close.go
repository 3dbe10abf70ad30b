package remote

import (
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// Close implements logserver.Log. It waits until everything is stable, for
// Config.CloseTimeout at most; what is not then is lost, and Close says so.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return logserver.ErrClosed
	}
	l.closed = true
	l.mu.Unlock()

	err := l.settle()
	close(l.done)
	<-l.stopped
	l.mu.Lock()
	for _, c := range l.conns {
		l.release(c, c.taken)
	}
	l.conns = map[logserver.ConnID]*conn{}
	l.spare.wipe()
	pending := l.pending
	l.pending = map[uint32]*request{}
	l.mu.Unlock()
	for _, r := range pending {
		r.finish(logserver.ErrClosed)
	}
	l.announce(0)
	return err
}

// settle waits until the log has everything.
func (l *Log) settle() error {
	late := time.NewTimer(l.cfg.CloseTimeout)
	defer late.Stop()
	for {
		l.mu.Lock()
		left := 0
		for _, c := range l.conns {
			if c.unsettled() && !l.fenced(c.meta.Service) {
				left++
			}
		}
		reached := l.reached
		l.mu.Unlock()
		if !reached {
			return nil
		}
		if left == 0 {
			break
		}
		select {
		case <-l.settled:
		case <-late.C:
			return fmt.Errorf("%w: %d connections are not stable", logserver.ErrUnreachable, left)
		}
	}
	// What has no upcall: deletions, for example.
	return l.ask(l.newRequest(func(req uint32) []byte {
		return wire.AppendRequest(nil, wire.Request{Type: wire.TypeSync, Req: req})
	}), l.cfg.CloseTimeout)
}
