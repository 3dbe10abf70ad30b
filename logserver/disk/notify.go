package disk

import (
	"sync"

	"github.com/ftnet/ftnet/logserver"
)

// notifier makes the upcalls, in a goroutine of its own so that the writer need
// not wait for them.
type notifier struct {
	l    *Log
	done sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	wake    sync.Cond
	queue   []logserver.Upcall
	spare   []logserver.Upcall
	stopped bool
}

func (n *notifier) init(l *Log) { n.l, n.wake.L = l, &n.mu }

// tell takes news, which are told in one upcall with others that wait.
func (n *notifier) tell(news []logserver.Upcall) {
	if len(news) == 0 {
		return
	}
	if n.l.cfg.manual {
		n.call(news)
		return
	}
	n.mu.Lock()
	n.queue = append(n.queue, news...)
	n.mu.Unlock()
	n.wake.Signal()
}

func (n *notifier) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.queue) == 0 && !n.stopped {
			n.wake.Wait()
		}
		if len(n.queue) == 0 {
			return
		}
		news := n.queue
		n.queue = n.spare[:0]
		n.mu.Unlock()
		n.call(news)
		n.mu.Lock()
		n.spare = news
	}
}

func (n *notifier) call(news []logserver.Upcall) {
	if f := n.l.up.Load(); f != nil && *f != nil {
		(*f)(news)
	}
}

// stop tells what is still to be told, and waits until that is done.
func (n *notifier) stop() {
	n.mu.Lock()
	n.stopped = true
	n.mu.Unlock()
	n.wake.Signal()
	n.done.Wait()
}
