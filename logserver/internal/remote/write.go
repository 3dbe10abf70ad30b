package remote

import (
	"net"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// batch is what is written at a time: small frames and the headers of large
// ones in small, between them data where it lies.
type batch struct {
	small []byte
	cuts  []cut
	large int // bytes of data outside small
}

// cut tells that data follows what lies before at in small.
type cut struct {
	at   int
	data []byte
}

// copyBelow is the length, in bytes, below which copying data costs less than
// writing it by itself.
const copyBelow = 2 << 10

func (b *batch) data(p []byte) {
	if len(p) < copyBelow {
		b.small = append(b.small, p...)
		return
	}
	b.cuts = append(b.cuts, cut{len(b.small), p})
	b.large += len(p)
}

func (b *batch) size() int { return len(b.small) + b.large }

func (b *batch) reset() {
	clear(b.cuts)
	b.small, b.cuts, b.large = b.small[:0], b.cuts[:0], 0
}

// buffers returns the batch in the order in which it is to be written.
func (b *batch) buffers(list net.Buffers) net.Buffers {
	from := 0
	for _, c := range b.cuts {
		if c.at > from {
			list = append(list, b.small[from:c.at])
		}
		list = append(list, c.data)
		from = c.at
	}
	if from < len(b.small) {
		list = append(list, b.small[from:])
	}
	return list
}

// write sends what is queued as soon as the connection takes it: the more has
// gathered meanwhile, the larger the batch. Nothing waits for a timer. The
// server hears from an idle client now and then.
func (l *Log) write(k *link) error {
	alive := time.NewTimer(l.cfg.Silence / 4)
	defer alive.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	var b batch
	var list net.Buffers
	for {
		b.reset()
		l.mu.Lock()
		l.retry(time.Now())
		l.gather(&b)
		if !l.retryAt.IsZero() {
			again.Reset(time.Until(l.retryAt))
		}
		l.sending = b.large > 0
		more := len(l.queue) > 0
		l.mu.Unlock()
		if b.size() == 0 && more {
			continue // a request has let others pass that had nothing to send
		}
		if b.size() == 0 {
			select {
			case <-k.done:
				return nil
			case <-l.wake:
				continue
			case <-again.C:
				continue
			case <-alive.C:
				l.mu.Lock()
				l.spare.wipe()
				l.mu.Unlock()
				b.small = wire.AppendHeader(b.small, wire.TypeAlive, 0, 0)
			}
		}
		alive.Reset(l.cfg.Silence / 4)
		list = b.buffers(list[:0])
		err := k.send(list)
		l.sent()
		if err != nil {
			return err
		}
	}
}

// send writes the buffers, all in one system call if the kernel takes them.
func (k *link) send(list net.Buffers) error {
	if k.cork == nil {
		_, err := list.WriteTo(k.conn)
		return err
	}
	k.cork.Hold()
	for _, p := range list {
		if _, err := k.conn.Write(p); err != nil {
			return err
		}
	}
	return k.cork.Release()
}

// sent frees the chunks that were given up while they were being written.
func (l *Log) sent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range l.retired {
		if !l.spare.put(k) {
			k.free()
		}
		l.retired[i] = nil
	}
	l.retired, l.sending = l.retired[:0], false
}
