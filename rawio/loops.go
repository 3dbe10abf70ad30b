package rawio

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
	"github.com/ftnet/ftnet/rawio/south"
	"github.com/ftnet/ftnet/rawio/tap"
)

// tapBatch is how many packets are read at once. With receive offload one has
// up to 64 KiB: more would leave the cache before they are logged.
const tapBatch = 16

// tapLoop feeds the core with what clients send.
func (e *Engine) tapLoop() {
	var (
		batch = tap.NewBatch(tapBatch)
		dec   segment.Decoder
		s     segment.Segment
	)
	for {
		n, err := e.tap.ReadBatch(batch)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				e.log.Error("the tap failed; clients are no longer served", "error", err)
			}
			return
		}
		e.tapPackets.Add(uint64(n))
		e.do(func(m *south.Machine) {
			for i := range n {
				p := &batch.Packets[i]
				e.tapBytes.Add(uint64(len(p.Data)))
				if p.Truncated {
					e.badPackets.Add(1)
					continue
				}
				if err := dec.Decode(p.Data, p.Checksum, &s); err != nil {
					e.badPackets.Add(1)
					continue
				}
				m.Segment(&s, p.Time)
			}
		})
	}
}

// eventLoop feeds the core with what the gate reports of the server.
func (e *Engine) eventLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-e.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	var (
		events = make([]gate.Event, 64)
		dec    segment.Decoder
	)
	reader := e.gate.Events()
	for {
		n, err := reader.ReadBatch(ctx, events)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				e.log.Error("the gate's events failed; new connections are no longer served", "error", err)
			}
			return
		}
		e.do(func(m *south.Machine) {
			for i := range n {
				e.event(m, &dec, &events[i])
			}
		})
	}
}

// event decodes one captured packet. A capture holds all headers; where it
// lacks payload, the header's length is cut to what there is.
func (e *Engine) event(m *south.Machine, dec *segment.Decoder, ev *gate.Event) {
	var s segment.Segment
	missing := ev.Length - len(ev.Packet)
	if missing > 0 {
		segment.CutLength(ev.Packet)
	}
	if err := dec.Decode(ev.Packet, segment.ChecksumTrusted, &s); err != nil {
		e.badPackets.Add(1)
		e.log.Debug("event not decoded", "kind", ev.Kind, "error", err)
		return
	}
	length := s.Len()
	packet := ev.Packet
	if missing > 0 {
		length, packet = length+uint32(missing), nil
	}
	m.Event(ev.Kind, &s, length, packet, wallTime(ev.Ktime))
}

// wallTime converts a time of the gate's clock to the clock of the tap and of
// the core. Where reading the clocks is interrupted, the result is too late.
func wallTime(ktime uint64) int64 {
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return time.Now().UnixNano()
	}
	return time.Now().UnixNano() - mono.Nano() + int64(ktime)
}

// Periods of the core's clock.
const (
	idleTick = 200 * time.Millisecond
	busyTick = 10 * time.Millisecond
	sweep    = 30 * time.Second
)

// ticker drives the core's timers: rarely, or often while handshakes are
// under way.
type ticker struct {
	t    *time.Ticker
	busy bool
}

func newTicker() *ticker { return &ticker{t: time.NewTicker(idleTick)} }

// set is called with the engine's lock held.
func (t *ticker) set(busy bool) {
	if t == nil || busy == t.busy {
		return
	}
	t.busy = busy
	if busy {
		t.t.Reset(busyTick)
	} else {
		t.t.Reset(idleTick)
	}
}

func (e *Engine) tickLoop() {
	defer e.ticks.t.Stop()
	last := time.Now()
	for {
		select {
		case <-e.closing:
			return
		case now := <-e.ticks.t.C:
			e.do(func(m *south.Machine) { m.Tick() })
			if now.Sub(last) >= sweep {
				last = now
				e.sweep(2 * sweep)
			}
		}
	}
}
