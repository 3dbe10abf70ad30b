package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/workload"
)

// load is 100 clients without pause, while a server or its engine is killed again and
// again.
type load struct {
	r      *rig
	random *rand.Rand
	cancel func()
	wg     sync.WaitGroup
	steady workload.Counter
	report *workload.Report
}

// load begins. The seed is that of the moments.
func (r *rig) load(seed uint64) *load {
	ctx, cancel := context.WithCancel(context.Background())
	f := families[0]
	l := &load{r: r, random: rand.New(rand.NewPCG(seed, seed+1)), cancel: cancel,
		steady: workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}}
	l.wg.Go(func() { l.report = l.steady.Run(ctx) })
	r.t.Cleanup(cancel)
	return l
}

// moment waits for a random time below d.
func (l *load) moment(d time.Duration) { pause(time.Duration(l.random.Int64N(int64(d)))) }

// served waits until every client has been served, at least once since the last
// kill: else the retransmission time-outs of some double with each of many kills in
// a row, to minutes, which docs/limits.md tells of and this test is not about.
func (l *load) served() {
	l.r.t.Helper()
	before := map[string]uint64{}
	for _, c := range l.r.recovered().Connections {
		before[c.Client] = c.BytesLogged
	}
	l.r.waitFor(time.Minute, "every client is served", func(d *status.Document) bool {
		served := 0
		for _, c := range d.Connections {
			if c.BytesLogged > before[c.Client] {
				served++
			}
		}
		return served >= l.steady.Conns
	})
}

// end ends it: no client may have seen an error.
func (l *load) end() {
	l.r.t.Helper()
	l.cancel()
	l.wg.Wait()
	if err := l.report.Err(); err != nil {
		l.r.t.Error(err)
	}
	l.r.t.Logf("%d connections, %d replies, longest pause %v", l.report.Conns, l.report.Lines, l.report.LongestPause)
}
