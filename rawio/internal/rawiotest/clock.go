package rawiotest

import (
	"container/heap"
	"time"
)

// Clock is virtual time and the events that are due. It starts at zero.
type Clock struct {
	now    time.Duration
	count  uint64
	events events
}

// NewClock returns a clock at time zero without events.
func NewClock() *Clock { return &Clock{} }

// Now returns the virtual time since the start of the run.
func (c *Clock) Now() time.Duration { return c.now }

// After has f called once d has passed; d below zero means zero. Events due at
// one time run in the order in which they were made, and never inside After.
func (c *Clock) After(d time.Duration, f func()) *Event {
	c.count++
	e := &Event{due: c.now + max(d, 0), order: c.count, f: f, clock: c}
	heap.Push(&c.events, e)
	return e
}

// Step runs the next event and reports whether there was one.
func (c *Clock) Step() bool {
	if len(c.events) == 0 {
		return false
	}
	e := heap.Pop(&c.events).(*Event)
	c.now = e.due
	e.f()
	return true
}

// Next returns when the next event is due.
func (c *Clock) Next() (time.Duration, bool) {
	if len(c.events) == 0 {
		return 0, false
	}
	return c.events[0].due, true
}

// Run runs events until done returns true, no event is left or limit (counted
// from now) has passed, and reports whether done was true. A nil done never is.
func (c *Clock) Run(limit time.Duration, done func() bool) bool {
	end := c.now + limit
	for done == nil || !done() {
		next, ok := c.Next()
		if !ok || next > end {
			c.now = max(c.now, end)
			return done != nil && done()
		}
		c.Step()
	}
	return true
}

// Event is a call that is due at some time.
type Event struct {
	due   time.Duration
	order uint64
	f     func()
	clock *Clock
	index int // in the heap; -1 once run or stopped
}

// Stop cancels the event. It does nothing to a nil, stopped or past event.
func (e *Event) Stop() {
	if e != nil && e.index >= 0 {
		heap.Remove(&e.clock.events, e.index)
	}
}

// Pending reports whether the event is still to come; a nil event is not.
func (e *Event) Pending() bool { return e != nil && e.index >= 0 }

type events []*Event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].order < q[j].order
}
func (q events) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *events) Push(x any) {
	e := x.(*Event)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
