package netlab

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// direction carries frames one way.
type direction struct {
	relay    *Relay
	client   bool // the frames are the client's
	id       uint32
	from, to int
	rand     *rand.Rand
	queue    frames
	count    uint64
}

func (d *direction) run() {
	buf := make([]byte, 65536+64)
	wait := []unix.PollFd{{Fd: int32(d.from), Events: unix.POLLIN}, {Fd: int32(d.relay.stop), Events: unix.POLLIN}}
	for {
		var timeout *unix.Timespec
		if len(d.queue) > 0 {
			t := unix.NsecToTimespec(max(0, int64(time.Until(d.queue[0].due))))
			timeout = &t
		}
		if _, err := unix.Ppoll(wait, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if wait[1].Revents != 0 {
			return
		}
		// A bounded batch, so that delayed frames leave in time under load.
		for range 64 {
			n, _, err := unix.Recvfrom(d.from, buf, unix.MSG_DONTWAIT)
			if err != nil {
				if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
					break
				}
				return
			}
			d.frame(buf[:n])
		}
		for now := time.Now(); len(d.queue) > 0 && !d.queue[0].due.After(now); {
			d.send(heap.Pop(&d.queue).(frame).data)
		}
	}
}

// frame takes a frame. Each TCP frame takes the same number
// of draws, so that its fate does not depend on the probabilities before it.
func (d *direction) frame(b []byte) {
	if !isTCP(b) {
		d.send(b)
		return
	}
	i := d.relay.impair.Load()
	if !d.client || i.Fragment == 0 && i.Extensions == 0 {
		d.impair(i, b)
		return
	}
	d.id++
	for _, part := range i.rewrite(b, d.id) {
		d.impair(i, part)
	}
}

// impair decides what happens to a frame that leaves the relay.
func (d *direction) impair(i *Impair, b []byte) {
	lost := d.rand.Float64() < i.Loss
	twice := d.rand.Float64() < i.Duplicate
	late := d.rand.Float64() < i.Reorder
	d.relay.seen.Add(1)
	if lost {
		d.relay.lost.Add(1)
		return
	}
	delay := i.Delay
	if late {
		d.relay.reordered.Add(1)
		delay += i.ReorderDelay
	}
	d.forward(b, delay)
	if twice {
		d.relay.duplicated.Add(1)
		d.forward(b, i.Delay)
	}
}

func (d *direction) forward(b []byte, delay time.Duration) {
	if delay == 0 {
		d.send(b)
		return
	}
	d.count++
	heap.Push(&d.queue, frame{due: time.Now().Add(delay), order: d.count, data: append([]byte(nil), b...)})
}

// send ignores errors: a frame that the link does not take is a lost frame.
func (d *direction) send(b []byte) { unix.Write(d.to, b) }

func isTCP(b []byte) bool {
	if len(b) < 14+20 {
		return false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		return b[14+9] == unix.IPPROTO_TCP
	case unix.ETH_P_IPV6:
		return b[14+6] == unix.IPPROTO_TCP
	}
	return false
}

// frames is a heap of delayed frames, the next to leave first; frames due at
// one moment keep their order.
type frames []frame

type frame struct {
	due   time.Time
	order uint64
	data  []byte
}

func (f frames) Len() int { return len(f) }
func (f frames) Less(i, j int) bool {
	if f[i].due.Equal(f[j].due) {
		return f[i].order < f[j].order
	}
	return f[i].due.Before(f[j].due)
}
func (f frames) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)   { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	old := *f
	last := old[len(old)-1]
	old[len(old)-1] = frame{}
	*f = old[:len(old)-1]
	return last
}
