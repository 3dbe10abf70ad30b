package remote

import (
	"fmt"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// request is a question to the server. It is asked again over the next link if
// the answer has not come over this one.
type request struct {
	req   uint32
	frame []byte
	seq   uint64
	// creates is the connection that is asked for.
	creates logserver.ConnID

	mu      sync.Mutex // guards what follows; Log.mu may be taken after it, never before
	over    bool
	answer  chan error             // gets the outcome
	restart func()                 // forgets what came so far; may be nil
	take    func(wire.Frame) error // takes a frame of the answer; may be nil
}

// newRequest returns one with a number. l.mu must not be held.
func (l *Log) newRequest(frame func(req uint32) []byte) *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.numbered(frame)
}

// numbered is newRequest with l.mu held.
func (l *Log) numbered(frame func(req uint32) []byte) *request {
	l.lastReq++
	return &request{req: l.lastReq, frame: frame(l.lastReq), answer: make(chan error, 1)}
}

// submit queues a request. l.mu is held.
func (l *Log) submit(r *request) {
	l.pending[r.req] = r
	l.seq++
	r.seq = l.seq
	l.enqueue(item{request: r})
}

// ask submits a request and waits for the answer.
func (l *Log) ask(r *request, timeout time.Duration) error {
	l.mu.Lock()
	l.submit(r)
	l.mu.Unlock()
	return l.await(r, timeout)
}

func (l *Log) await(r *request, timeout time.Duration) error {
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case err := <-r.answer:
		return err
	case <-late.C:
		l.mu.Lock()
		delete(l.pending, r.req)
		l.mu.Unlock()
		r.finish(logserver.ErrUnreachable)
		return fmt.Errorf("%w: no answer after %v", logserver.ErrUnreachable, timeout)
	}
}

// finish tells the outcome, once. Nothing is taken afterwards.
func (r *request) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.over = true
		r.answer <- err
	}
}

// reset prepares for another link.
func (r *request) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.restart != nil && !r.over {
		r.restart()
	}
}

// answered deals with a frame of an answer.
func (l *Log) answered(f wire.Frame) error {
	req, _, err := wire.ParseReq(f)
	if err != nil {
		return err
	}
	l.mu.Lock()
	r := l.pending[req]
	if r != nil && f.Flags&wire.FlagLast != 0 {
		delete(l.pending, req)
	}
	l.mu.Unlock()
	if r == nil {
		return nil // nobody waits any more
	}
	if f.Type == wire.TypeFailure {
		_, failure, err := wire.ParseFailure(f)
		if err != nil {
			return err
		}
		r.finish(failure)
		return nil
	}
	r.mu.Lock()
	if r.take != nil && !r.over {
		err = r.take(f)
	}
	r.mu.Unlock()
	if err == nil && f.Flags&wire.FlagLast != 0 {
		r.finish(nil)
	}
	return err
}
