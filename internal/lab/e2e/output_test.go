package e2e

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// output collects what a process writes.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// next returns what was written, and a channel that is closed when there is more.
func (o *output) next() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.b.String(), o.changed
}

// waitOutput waits until the server or ftnet has written text.
func (r *rig) waitOutput(text string) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s, more := r.out.next()
		if strings.Contains(s, text) {
			return
		}
		select {
		case <-more:
		case <-limit:
			r.t.Fatalf("waited in vain for the output %q", text)
		}
	}
}

// countOutput waits until the processes have said something n times at least, and
// returns how often they have.
func (r *rig) countOutput(text string, n int) int {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s, more := r.out.next()
		if said := strings.Count(s, text); said >= n {
			return said
		}
		select {
		case <-more:
		case <-limit:
			return strings.Count(r.out.String(), text)
		}
	}
}
