package backend

import (
	"fmt"
	"sync"

	"github.com/ftnet/ftnet/logserver"
)

// Complaints remembers the newest of what a log has warned of, which is why its
// status is what it is. The zero value is ready.
type Complaints struct {
	mu   sync.Mutex
	last string
}

// Warn returns what to give a log as [Options].Warn: it remembers, and passes on
// to next.
func (c *Complaints) Warn(next func(message string, pairs ...any)) func(message string, pairs ...any) {
	return func(message string, pairs ...any) {
		if text := cause(message, pairs); text != "" {
			c.mu.Lock()
			c.last = text
			c.mu.Unlock()
		}
		next(message, pairs...)
	}
}

// cause is what a warning says about the log's status; most say nothing about it.
func cause(message string, pairs []any) (text string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch pairs[i] {
		case "error":
			return fmt.Sprint(pairs[i+1])
		case "service": // it is fenced
			text = fmt.Sprintf("%s %v", message, pairs[i+1])
		}
	}
	return text
}

// Reason says why a log is not well; nothing if it is, or has not told. What was
// said before a log became well again is forgotten.
func (c *Complaints) Reason(l logserver.Log) string {
	ok := l.Status() == logserver.OK
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.last = ""
	}
	return c.last
}
