package output

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// DefaultSize is how many bytes of a service's output are kept.
const DefaultSize = 1 << 20

// lineCost is what keeping a line takes beside its text, about. It counts
// against the size, so that empty lines are not free.
const lineCost = 64

// ErrClosed is returned by [Log.Wait] when there will be no further line.
var ErrClosed = errors.New("output: the log is closed")

// Stream tells which of the two a line was written to.
type Stream uint8

const (
	Stdout Stream = iota + 1
	Stderr
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Line is one line of output, without its newline.
type Line struct {
	Time    time.Time // when its end was read
	Stream  Stream
	Text    string
	Partial bool // no newline followed: it was too long, or nothing more came for a while
}

// Log keeps the newest lines. Its methods may be called at the same time.
type Log struct {
	size int

	mu      sync.Mutex // guards what follows
	lines   []Line
	first   uint64 // number of lines[0]; they count from 0
	used    int    // bytes, of at most size unless one line is longer
	closed  bool
	changed chan struct{} // closed by the next change; nil if nobody waits
}

// NewLog makes a log that keeps size bytes; 0 means [DefaultSize].
func NewLog(size int) *Log {
	if size <= 0 {
		size = DefaultSize
	}
	return &Log{size: size}
}

// Append adds a line at the end and drops old ones for it. On a closed log it
// does nothing.
func (l *Log) Append(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.lines = append(l.lines, line)
	l.used += len(line.Text) + lineCost
	drop := 0
	for l.used > l.size && drop < len(l.lines)-1 {
		l.used -= len(l.lines[drop].Text) + lineCost
		l.lines[drop] = Line{} // the array lives on, the text need not
		drop++
	}
	l.lines = l.lines[drop:]
	l.first += uint64(drop)
	l.wake()
}

// Tail returns the newest n lines, or all that are kept if there are fewer or n
// is negative, and the number of the line that will follow them.
func (l *Log) Tail(n int) (lines []Line, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 || n > len(l.lines) {
		n = len(l.lines)
	}
	return slices.Clone(l.lines[len(l.lines)-n:]), l.first + uint64(len(l.lines))
}

// Read appends to dst up to limit lines from number from on. next is where to go on;
// missed counts lines from there that are no longer kept. It does not block.
func (l *Log) Read(dst []Line, from uint64, limit int) (lines []Line, next, missed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.first {
		missed, from = l.first-from, l.first
	}
	start := min(from-l.first, uint64(len(l.lines)))
	rest := l.lines[start:]
	rest = rest[:min(limit, len(rest))]
	return append(dst, rest...), l.first + start + uint64(len(rest)), missed
}

// Wait returns nil when the line of that number has been appended. Else it
// returns the context's error or [ErrClosed].
func (l *Log) Wait(ctx context.Context, number uint64) error {
	for {
		l.mu.Lock()
		if number < l.first+uint64(len(l.lines)) {
			l.mu.Unlock()
			return nil
		}
		if l.closed {
			l.mu.Unlock()
			return ErrClosed
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the log. What it holds can still be read.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// wake tells those who wait. l.mu is held.
func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
