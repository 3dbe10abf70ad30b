package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pauseRate is about how many requests a second all connections send.
	pauseRate = 10000
	// afterKill is how many requests, begun after the kill, each connection
	// must see answered.
	afterKill = 2
	// pauseLimit ends a measurement in which clients are never answered.
	pauseLimit = 2 * time.Minute
)

// pauses is what the connections of a pause measurement share.
type pauses struct {
	killed          atomic.Bool
	before, longest atomic.Int64 // ns
	errors          atomic.Int64
}

// pause keeps many connections asking. Once the driver says that it kills the
// server, each connection goes on until it was answered afterKill times.
func pause(job Job, in io.Reader, out io.Writer, r *Result) error {
	conns, err := dialMany(job)
	if err != nil {
		return err
	}
	var p pauses
	var all sync.WaitGroup
	think := max(time.Millisecond, time.Duration(job.Count)*time.Second/pauseRate)
	for i, c := range conns {
		// Spread over the interval, so that some request meets the kill itself.
		offset := think * time.Duration(i) / time.Duration(len(conns))
		all.Go(func() { p.ask(c, offset, think) })
	}
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	p.killed.Store(true)
	limit := time.AfterFunc(pauseLimit, func() {
		for _, c := range conns {
			c.SetDeadline(time.Now())
		}
	})
	all.Wait()
	limit.Stop()
	r.Before = millis(time.Duration(p.before.Load()))
	r.Longest = millis(time.Duration(p.longest.Load()))
	r.Errors = int(p.errors.Load())
	return nil
}

func (p *pauses) ask(c net.Conn, offset, think time.Duration) {
	defer drop(c)
	time.Sleep(offset)
	var message [echoSize]byte
	for answered := 0; answered < afterKill; {
		late := p.killed.Load()
		start := time.Now()
		if err := exchange(c, message[:]); err != nil {
			p.errors.Add(1)
			return
		}
		took := int64(time.Since(start))
		switch {
		case late:
			answered++
			fallthrough
		case p.killed.Load():
			raise(&p.longest, took)
		default:
			raise(&p.before, took)
		}
		time.Sleep(think)
	}
}

func raise(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}
