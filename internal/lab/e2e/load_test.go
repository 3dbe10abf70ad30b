package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/workload"
)

// load is what the acceptance tests put on a counter while it, or its engine, is
// killed again and again: 100 connections that send lines without pause, and short
// ones, each followed by the next, which are dialled, served and closed in every phase
// of a crash. Every reply of every connection must be right, and no client see an
// error.
type load struct {
	r       *rig
	random  *rand.Rand
	cancel  func()
	wg      sync.WaitGroup
	steady  clients
	dialled clients
}

// clients are those of one kind.
type clients struct {
	workload.Counter
	replies []atomic.Int64 // by connection
	report  *workload.Report
}

// linesDialled is what a short connection sends.
const linesDialled = 5

// load begins it. The seed is that of the moments.
func (r *rig) load(f family, seed uint64) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{r: r, random: rand.New(rand.NewPCG(seed, seed+1)), cancel: cancel}
	l.steady.Counter = workload.Counter{Conns: 100, Seed: 1}
	l.dialled.Counter = workload.Counter{Conns: 4, Lines: linesDialled, Redials: -1, Seed: 2}
	for _, c := range []*clients{&l.steady, &l.dialled} {
		c.Address, c.Dial = f.address(7000), f.dial(r)
		c.replies = make([]atomic.Int64, c.Conns)
		c.Reply = func(i int, _ time.Duration) { c.replies[i].Add(1) }
		l.wg.Go(func() { c.report = c.Run(ctx) })
	}
	r.t.Cleanup(cancel)
	return l
}

// moment waits for a random time below d.
func (l *load) moment(d time.Duration) { pause(time.Duration(l.random.Int64N(int64(d)))) }

// served waits until each client has been served, at least once since the last
// kill: else the retransmission time-outs of some double with each of many kills in
// a row, to minutes, which docs/limits.md tells of and these tests are not about.
func (l *load) served() {
	l.r.t.Helper()
	l.r.recovered()
	all := []*clients{&l.steady, &l.dialled}
	var before []int64
	for _, c := range all {
		for i := range c.replies {
			before = append(before, c.replies[i].Load())
		}
	}
	var waiting string
	defer func() {
		if waiting != "" {
			l.r.t.Logf("not served: %s\n%s", waiting, l.sockets())
		}
	}()
	l.r.until("every client is served", func() bool {
		waiting = ""
		n := 0
		for _, c := range all {
			for i := range c.replies {
				if c.replies[i].Load() == before[n] {
					waiting += fmt.Sprintf(" %d of %d", i, c.Conns)
				}
				n++
			}
		}
		return waiting == ""
	})
}

// sockets is what the client's and the server's kernel and ftnet say of the connections.
func (l *load) sockets() (text string) {
	for _, n := range []*netlab.Namespace{l.r.lab.Client, l.r.lab.Server} {
		out, err := n.Command("ss", "-tainoe").CombinedOutput()
		text += fmt.Sprintf("%v\n%s\n", err, out)
	}
	return text + l.r.listed()
}

// atLeast waits until the clients have done what there is to be seen of a test.
func (l *load) atLeast(lines, dialled int64) {
	l.r.t.Helper()
	l.r.until("the clients have done enough", func() bool {
		return l.steady.total() >= lines && l.dialled.total() >= linesDialled*dialled
	})
}

func (c *clients) total() (n int64) {
	for i := range c.replies {
		n += c.replies[i].Load()
	}
	return n
}

// until waits up to a minute for the clients of a test.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for limit := time.After(time.Minute); !ok(); {
		select {
		case err := <-r.exited:
			r.exited <- err
			r.t.Fatalf("ftnet ended while waiting until %s: %v", what, err)
		case <-limit:
			r.t.Fatalf("waited in vain until %s", what)
		case <-time.After(r.poll):
		}
	}
}

// end ends it.
func (l *load) end() {
	l.r.t.Helper()
	l.cancel()
	l.wg.Wait()
	for name, c := range map[string]*clients{"steady": &l.steady, "dialled": &l.dialled} {
		if err := c.report.Err(); err != nil {
			l.r.t.Errorf("%s clients: %v", name, err)
		}
		l.r.t.Logf("%s: %d connections, %d replies, longest pause %v", name, c.report.Conns, c.report.Lines, c.report.LongestPause)
	}
}
