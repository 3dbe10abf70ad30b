package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Report tells how a run of many connections went.
type Report struct {
	Conns        int           // connections that were dialled
	Lines        int64         // right replies
	Bytes        int64         // sent in what was answered, and received
	Failed       int           // connections that saw an error
	Errors       []error       // of the first ten of them
	LongestPause time.Duration // that any connection waited for its next reply
}

// Err returns nil if no connection saw an error.
func (r *Report) Err() error {
	if r.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d connections failed: %w", r.Failed, r.Conns, errors.Join(r.Errors...))
}

const maxErrors = 10

// results is where the connections of a run write down how they went.
type results struct {
	lines, bytes atomic.Int64
	pause        longest
	mu           sync.Mutex // guards conns, failed, errors
	conns        int
	failed       int
	errors       []error
}

// ended notes the end of a connection: the round-th that had number n.
func (r *results) ended(n, round int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	if err == nil {
		return
	}
	r.failed++
	if len(r.errors) < maxErrors {
		r.errors = append(r.errors, fmt.Errorf("connection %d.%d: %w", n, round, err))
	}
}

// report is called when all connections have ended.
func (r *results) report() *Report {
	return &Report{
		Conns: r.conns, Lines: r.lines.Load(), Bytes: r.bytes.Load(),
		Failed: r.failed, Errors: r.errors, LongestPause: time.Duration(r.pause.Load()),
	}
}

// crowd runs one for each of conns connections at a time, and again for those
// that have finished: redials times, -1 until ctx is done, 0 never. It returns
// when all have finished.
func (r *results) crowd(ctx context.Context, conns, redials int, one func(n, round int) error) {
	var wg sync.WaitGroup
	for n := range conns {
		wg.Go(func() {
			for round := 0; ; round++ {
				r.ended(n, round, one(n, round))
				if round == redials || ctx.Err() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

// graceful returns a context that ends the given time after ctx.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return later, func() { stop(); cancel() }
}
