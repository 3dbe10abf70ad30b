package oplog

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// queueBytes is how much waits for a slow reader before lines are dropped.
const queueBytes = 1 << 20

// lastWords is how long Close waits for a reader that does not read.
const lastWords = time.Second

// sink passes lines on to a writer that may block or fail. Write does neither.
type sink struct {
	w    io.Writer
	name string // of the logger that tells of lost lines
	lost atomic.Uint64
	done chan struct{} // closed when the writing goroutine has ended

	mu     sync.Mutex // guards what follows
	queue  [][]byte
	bytes  int
	closed bool
	wake   sync.Cond // L is mu
}

func newSink(w io.Writer, name string) *sink {
	s := &sink{w: w, name: name, done: make(chan struct{})}
	s.wake.L = &s.mu
	go s.run()
	return s
}

// Write takes one line. The error is always nil: whoever logs can do nothing
// about it.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.bytes+len(line) > queueBytes {
		s.lost.Add(1)
		return len(line), nil
	}
	s.queue = append(s.queue, bytes.Clone(line))
	s.bytes += len(line)
	s.wake.Signal()
	return len(line), nil
}

// run writes until the sink is closed and the queue empty.
func (s *sink) run() {
	defer close(s.done)
	var reported uint64 // of lost
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		line := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Unlock()

		_, err := s.w.Write(line)

		// Only now: what is being written is room taken, too.
		s.mu.Lock()
		s.bytes -= len(line)
		s.mu.Unlock()
		if err != nil {
			s.lost.Add(1)
		} else if lost := s.lost.Load(); lost != reported && s.report(lost-reported) {
			reported = lost
		}
	}
}

// report logs how many lines of the log are missing, once it can be written again.
func (s *sink) report(lost uint64) bool {
	var line bytes.Buffer
	hclog.New(&hclog.LoggerOptions{Name: s.name, Output: &line}).
		Warn("lines of this log were lost: who reads it was gone or too slow", "lines", lost)
	_, err := s.w.Write(line.Bytes())
	return err == nil
}

// close writes what is queued, but does not wait for long.
func (s *sink) close() {
	s.mu.Lock()
	s.closed = true
	s.wake.Signal()
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-time.After(lastWords):
	}
}
