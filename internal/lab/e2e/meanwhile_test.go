package e2e

import (
	"fmt"
	"strings"
	"sync"
)

// meanwhile calls each again and again, from n goroutines, until f returns. each
// gets the number of its goroutine and how often it was called by it before.
func meanwhile(n int, each func(i, call int), f func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for call := 0; ; call++ {
				select {
				case <-stop:
					return
				default:
					each(i, call)
				}
			}
		})
	}
	f()
	close(stop)
	wg.Wait()
}

// chatter has clients send lines of many sizes, and checks the replies, until
// f returns.
func (r *rig) chatter(clients []*client, f func()) {
	r.t.Helper()
	meanwhile(len(clients), func(i, n int) {
		clients[i].echo(strings.Repeat(fmt.Sprintf("%d.%d ", i, n), 1+n*37%1500))
	}, f)
}

// dialling has n clients dial, be answered and close, again and again, until f
// returns.
func (r *rig) dialling(n int, f func()) {
	r.t.Helper()
	meanwhile(n, func(i, call int) {
		c := r.dial()
		c.echo(fmt.Sprint(i, call))
		c.Close()
	}, f)
}
