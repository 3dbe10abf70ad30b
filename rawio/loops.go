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

const (
	// tapBatch is how many packets are read at once. With receive offload one
	// has up to 64 KiB: more would leave the cache before they are logged.
	tapBatch = 16
	// settleAfter is how many packets of a bulk transfer are logged before an
	// ACK leaves for them: 256 KiB or so. With fewer ACKs the client's estimate
	// of the bandwidth suffers, and so its pace.
	settleAfter = 4
	// tapPause is how long the engine leaves the tap alone after each look, so
	// that packets in quick succession cost one wake-up and one ACK together.
	// What the client waits for does not wait for the tap, except for an ACK.
	tapPause = 150 * time.Microsecond
	// eventPause is how long the engine leaves the gate's events alone if they
	// follow each other faster than that.
	eventPause = 150 * time.Microsecond
	// ackPause is the same after a look that met nothing but ACKs, as during a
	// download: nobody waits for what they bring.
	ackPause = time.Millisecond
)

// tapLoop feeds the core with what clients send.
func (e *Engine) tapLoop() {
	e.hurry()
	for {
		err := e.tap.Wait()
		var pause time.Duration
		if err == nil {
			e.do(func(m *south.Machine) { pause, err = e.drain(m) })
		}
		if err == nil && pause > 0 {
			err = e.tap.Pause(pause)
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				e.log.Error("the tap failed; clients are no longer served", "error", err)
			}
			return
		}
	}
}

// drain gives the core what the tap has. It ends with an empty tap or after
// some batches, so that others get their turn, and returns for how long the tap
// may now be left alone.
func (e *Engine) drain(m *south.Machine) (pause time.Duration, err error) {
	e.carried = false
	silent := 0
	for all := 0; all < 4*tapBatch; {
		n, more, err := e.some(m)
		if err != nil {
			return 0, err
		}
		if !more && e.carried {
			return tapPause, nil
		} else if !more {
			return ackPause, nil
		}
		all += n
		if silent += n; silent >= settleAfter {
			e.settle() // ACKs leave while the next packets are read
			silent = 0
		}
	}
	return 0, nil
}

// some gives the core a batch, or one packet of a bulk transfer. It returns how
// many packets that was, and whether there may be more.
func (e *Engine) some(m *south.Machine) (n int, more bool, err error) {
	if e.landing.predicts() {
		defer e.landing.done()
		packets, err := e.landing.read(e.tap, m)
		e.segments(m, packets)
		return len(packets), len(packets) > 0, err
	}
	n, err = e.tap.TryReadBatch(e.batch)
	e.segments(m, e.batch.Packets)
	return n, n == tapBatch, err
}

func (e *Engine) segments(m *south.Machine, packets []tap.Packet) {
	e.tapPackets.Add(uint64(len(packets)))
	for i := range packets {
		p := &packets[i]
		size := len(p.Data) + len(p.Rest)
		e.tapBytes.Add(uint64(size))
		if p.Truncated || e.decode(p) != nil {
			e.badPackets.Add(1)
			continue
		}
		e.carried = e.carried || e.decoded.Len() > 0
		m.Segment(&e.decoded, p.Time)
		e.landing.learn(&e.decoded, size-len(e.decoded.Payload))
	}
}

// decode decodes a packet that may be in two pieces.
func (e *Engine) decode(p *tap.Packet) error {
	if p.Rest != nil {
		if e.decoder.DecodeSplit(p.Data, p.Rest, p.Checksum, &e.decoded) == nil {
			return nil
		}
		p.Join()
	}
	return e.decoder.Decode(p.Data, p.Checksum, &e.decoded)
}

// untilClosing returns a context that ends when the engine is closed.
func (e *Engine) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-e.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// eventLoop feeds the core with what the gate reports of the server.
func (e *Engine) eventLoop() {
	e.hurry()
	ctx, cancel := e.untilClosing()
	defer cancel()
	var (
		events = make([]gate.Event, 64)
		dec    segment.Decoder
	)
	reader := e.gate.Events()
	for last := time.Now(); ; {
		n, err := reader.ReadBatch(ctx, events)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				e.log.Error("the gate's events failed; new connections are no longer served", "error", err)
			}
			return
		}
		e.do(func(m *south.Machine) {
			// What the client sent before comes first: its SYN above all.
			// An error is the tap loop's to tell.
			_, _ = e.drain(m)
			for i := range n {
				e.event(m, &dec, &events[i])
			}
		})
		// When many connections begin at once, they share a wake-up.
		now := time.Now()
		if now.Sub(last) < eventPause {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(eventPause)}, nil) // shorter does no harm
		}
		last = now
	}
}

// event decodes one captured packet. A capture holds all headers; where it
// lacks payload, the header's length is cut to what there is.
func (e *Engine) event(m *south.Machine, dec *segment.Decoder, ev *gate.Event) {
	if ev.Kind == gate.EventCrashed {
		m.Crashed(ev.Slot, ev.PID, ev.Code)
		return
	}
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
