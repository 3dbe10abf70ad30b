package logd

import (
	"sync"

	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// Bounds of what waits to be sent to one peer, in bytes. News of connections
// needs none: each is in the list once.
const (
	maxControl = 1 << 20
	maxBulk    = 1 << 20
)

// output is what waits to be sent to a peer.
type output struct {
	x    *session
	wake chan struct{} // tells the writer that there is something

	mu      sync.Mutex // guards what follows
	room    *sync.Cond
	dirty   []*conn // with news
	status  bool    // is news
	small   []byte  // frames
	bulk    [][]byte
	bulkLen int
	closed  bool
	hushed  bool    // the reader will tell the news of connections itself
	spare   []*conn // for dirty
}

func (o *output) init(x *session) {
	o.x, o.wake = x, make(chan struct{}, 1)
	o.room = sync.NewCond(&o.mu)
}

func (o *output) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// add puts a connection into the list of news. It returns false if the session
// has ended. The connection's lock is held.
func (o *output) add(c *conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.dirty = append(o.dirty, c)
	if !o.hushed {
		o.rouse()
	}
	return true
}

// hush has the writer left alone by news of connections, until speak.
func (o *output) hush() {
	o.mu.Lock()
	o.hushed = true
	o.mu.Unlock()
}

func (o *output) speak() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hushed && len(o.dirty) > 0 {
		o.rouse()
	}
	o.hushed = false
}

// reuse takes back a list that next has returned.
func (o *output) reuse(list []*conn) {
	clear(list)
	o.mu.Lock()
	o.spare = list[:0]
	o.mu.Unlock()
}

func (o *output) tellStatus() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = true
	o.rouse()
}

// control sends small frames. It waits while a peer that does not read has too
// many of them.
func (o *output) control(frames []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.small) > maxControl && !o.closed {
		o.room.Wait()
	}
	if !o.closed {
		o.small = append(o.small, frames...)
		o.rouse()
	}
}

// notice is control for another session's peer, for which nobody waits.
func (o *output) notice(frames []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && len(o.small) <= maxControl {
		o.small = append(o.small, frames...)
		o.rouse()
	}
}

// large sends a large frame. It waits for room and returns false if the session
// has ended.
func (o *output) large(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bulkLen > maxBulk && !o.closed {
		o.room.Wait()
	}
	if o.closed {
		return false
	}
	o.bulk = append(o.bulk, frame)
	o.bulkLen += len(frame)
	o.rouse()
	return true
}

// batch is what the writer sends at a time.
type batch struct {
	dirty  []*conn
	status bool
	small  []byte
	bulk   []byte
}

// next takes what is to be sent; at most one large frame.
func (o *output) next() (b batch, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b = batch{dirty: o.dirty, status: o.status, small: o.small}
	o.dirty, o.spare, o.status, o.small = o.spare, nil, false, nil
	if len(o.bulk) > 0 {
		b.bulk = o.bulk[0]
		o.bulk = o.bulk[1:]
		o.bulkLen -= len(b.bulk)
	}
	o.room.Broadcast()
	return b, b.status || len(b.dirty) > 0 || len(b.small) > 0 || b.bulk != nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.dirty, o.small, o.bulk = nil, nil, nil
	o.room.Broadcast()
}

// last has the peer told why its session ends, if it can be told at once.
func (o *output) last(frame []byte) {
	o.x.sending.Lock()
	defer o.x.sending.Unlock()
	_ = o.x.sendLocked(frame)
}

// statesPerFrame is how many connections a States frame tells of.
const statesPerFrame = wire.MaxPayload / wire.StateSize / 4
