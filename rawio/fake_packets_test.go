package rawio

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// fakeTap has packets to be read.
type fakeTap struct {
	mu     sync.Mutex // guards queue and fails, where loops run
	queue  [][]byte
	splits int // packets that were read where they are to stay
	fails  error
	reads  func() // called before each read

	packets, reports chan struct{} // there are some, perhaps
	pending          func() bool   // reports are there
	broken           chan error    // what Wait returns next
	ended            chan struct{}
	pauses           []fakePause
	closed           bool
}

// fakePause is how Pause was called.
type fakePause struct {
	d      time.Duration
	events bool // these end it
}

func newFakeTap() *fakeTap {
	return &fakeTap{
		packets: make(chan struct{}, 1), reports: make(chan struct{}, 1), broken: make(chan error, 1), ended: make(chan struct{}),
	}
}

// gets has the tap receive a packet.
func (t *fakeTap) gets(packet []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, packet)
	ring(t.packets)
}

func (t *fakeTap) Wait(...int) error {
	for {
		t.mu.Lock()
		there := len(t.queue) > 0 || t.fails != nil
		t.mu.Unlock()
		if there || t.pending() {
			return nil
		}
		select {
		case <-t.packets:
		case <-t.reports:
		case err := <-t.broken:
			return err
		case <-t.ended:
			return net.ErrClosed
		}
	}
}

func (t *fakeTap) Pause(d time.Duration, descriptors ...int) error {
	t.pauses = append(t.pauses, fakePause{d, len(descriptors) > 0})
	over := time.After(d)
	for len(descriptors) == 0 || !t.pending() {
		reports := t.reports
		if len(descriptors) == 0 {
			reports = nil
		}
		select {
		case <-over:
			return nil
		case <-reports:
		case <-t.ended:
			return net.ErrClosed
		}
	}
	return nil
}

func (t *fakeTap) Drops() (uint64, error) {
	if t.closed {
		return 0, net.ErrClosed
	}
	return 0, nil
}

func (t *fakeTap) Close() error {
	if !t.closed {
		close(t.ended)
	}
	t.closed = true
	return nil
}

func (t *fakeTap) TryReadBatch(b *tap.Batch) (int, error) {
	b.Packets = b.Packets[:0]
	if t.reads != nil {
		t.reads()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.fails == nil && len(t.queue) > 0 && len(b.Packets) < tapBatch {
		b.Packets = append(b.Packets, tap.Packet{Data: t.queue[0], Time: time.Now().UnixNano(), IfIndex: rigLink})
		t.queue = t.queue[1:]
	}
	return len(b.Packets), t.fails
}

func (t *fakeTap) TryReadSplit(b *tap.Batch, header int, rest []byte) (int, error) {
	b.Packets = b.Packets[:0]
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 || t.fails != nil {
		return 0, t.fails
	}
	p := tap.Packet{Data: t.queue[0], Time: time.Now().UnixNano(), IfIndex: rigLink}
	t.queue = t.queue[1:]
	if len(p.Data) > header && len(p.Data) <= header+len(rest) {
		p.Rest = rest[:copy(rest, p.Data[header:])]
		p.Data = p.Data[:header:header]
		t.splits++
	}
	b.Packets = append(b.Packets, p)
	return 1, nil
}

// fakeInjector brings packets to where they go, past gate and tap.
type fakeInjector struct {
	r        *rig
	toServer []inject.Packet
	fails    error // of packets to the client
	closed   bool
}

func (i *fakeInjector) Room(int) int { return 1 << 16 }
func (i *fakeInjector) Close() error { i.closed = true; return nil }

func (i *fakeInjector) ToServer(p inject.Packet) error {
	i.r.wire.Lock()
	defer i.r.wire.Unlock()
	p.Data = bytes.Clone(p.Data)
	i.toServer = append(i.toServer, p)
	s := i.r.decoded(p.Data)
	if i.r.drop == nil || !i.r.drop(s, p.Way.Device) {
		i.r.stack.Input(&rawiotest.Packet{Segment: *s})
	}
	return nil
}

func (i *fakeInjector) ToClient(packets []inject.Packet) (int, error) {
	i.r.wire.Lock()
	defer i.r.wire.Unlock()
	for n, p := range packets {
		if err := i.fails; err != nil {
			i.fails = nil
			return n, err
		}
		i.r.client.Input(&rawiotest.Packet{Segment: *i.r.decoded(p.Data)})
	}
	return len(packets), nil
}
