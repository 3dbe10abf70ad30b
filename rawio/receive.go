package rawio

import (
	"net"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

const (
	// tapBatch is how many packets are read at once. With receive offload one
	// has up to 64 KiB: more would leave the cache before they are logged.
	tapBatch = 16
	// flushAfter is how many packets of a bulk transfer are logged before an
	// ACK leaves for them: 256 KiB or so. With fewer ACKs the client's estimate
	// of the bandwidth suffers, and so its pace.
	flushAfter = 4
	// tapPause is how long the engine waits after each receive before it reads the tap again, so
	// that packets in quick succession cost one wake-up and one ACK together.
	// Nothing that the client waits for depends on the tap, except for an ACK.
	tapPause = 150 * time.Microsecond
	// eventBatch is how many of the gate's events are taken by one receive.
	eventBatch = 64
	// eventPause is the interval of the gate's events at which they share a receive, too, because many
	// connections begin at once. A single event ends a pause.
	eventPause = 150 * time.Microsecond
	// ackPause is tapPause after a receive of nothing but pure ACKs, as during a
	// download: nothing waits for them.
	ackPause = time.Millisecond
)

// receiveLoop gives the core the clients' segments and the gate's events. One thread reads
// both, because most events follow a packet.
func (e *Engine) receiveLoop() {
	e.raisePriority()
	var (
		reports = e.reports
		events  = make([]gate.Event, eventBatch)
		last    time.Time // when the newest event was received
	)
	for {
		err := e.tap.Wait(reports.FD())
		if e.Err() != nil {
			return
		}
		var (
			pause time.Duration
			n     int
		)
		if err == nil {
			e.do(func(m *south.Machine) { pause, n, err = e.receive(m, reports, events) })
		}
		if err == nil && n < eventBatch && pause > 0 {
			err = e.pause(pause, n, &last, reports)
		}
		if err != nil {
			e.fail("tap or gate events cannot be read", err)
			return
		}
	}
}

// receive takes what tap and gate have, or a part if it is much: then n is eventBatch or
// pause is 0.
func (e *Engine) receive(m *south.Machine, reports eventReader, events []gate.Event) (pause time.Duration, n int, err error) {
	// The tap comes first: an event may follow a client's segment, its SYN above all.
	if pause, err = e.drain(m); err == nil {
		n, err = e.events(m, reports, events)
	}
	return pause, n, err
}

// catchUp takes all events of the gate until now, and returns how many were lost since the gate was
// loaded.
func (e *Engine) catchUp() (lost uint64, err error) {
	var (
		reports = e.reports
		events  = make([]gate.Event, eventBatch)
	)
	for n := eventBatch; n == eventBatch && err == nil; {
		n, err = 0, net.ErrClosed // the core does not run any more
		e.do(func(m *south.Machine) { _, n, err = e.receive(m, reports, events) })
	}
	if err != nil {
		return 0, err
	}
	s, err := e.gate.Stats()
	return s.EventsLost, err
}

// pause waits before the next receive, after one that has taken n events.
func (e *Engine) pause(d time.Duration, n int, last *time.Time, reports eventReader) error {
	if n == 0 {
		return e.tap.Pause(d, reports.FD())
	}
	now := time.Now()
	busy := now.Sub(*last) < 2*eventPause
	*last = now
	if busy {
		return e.tap.Pause(eventPause)
	}
	return e.tap.Pause(min(d, tapPause), reports.FD())
}

// drain gives the core what the tap has. It ends when the tap is empty or after
// some batches, to release the engine's lock, and returns for how long the next receive may
// wait.
func (e *Engine) drain(m *south.Machine) (pause time.Duration, err error) {
	e.dataSeen = false
	silent := 0
	for all := 0; all < 4*tapBatch; {
		n, more, err := e.receiveBatch(m)
		if err != nil {
			return 0, err
		}
		if !more && e.dataSeen {
			return tapPause, nil
		} else if !more {
			return ackPause, nil
		}
		all += n
		if silent += n; silent >= flushAfter {
			e.flush() // ACKs leave while the next packets are read
			silent = 0
		}
	}
	return 0, nil
}

// receiveBatch gives the core a batch, or one packet of a bulk transfer. It returns how
// many packets that was, and whether there may be more.
func (e *Engine) receiveBatch(m *south.Machine) (n int, more bool, err error) {
	if e.inPlace.predicts() {
		defer e.inPlace.done(m)
		packets, err := e.inPlace.read(e.tap, m)
		e.segments(m, packets)
		return len(packets), len(packets) > 0, err
	}
	n, err = e.tap.TryReadBatch(e.batch)
	e.segments(m, e.batch.Packets)
	return n, n == tapBatch, err
}

func (e *Engine) segments(m *south.Machine, packets []tap.Packet) {
	e.tapPackets.Add(uint64(len(packets)))
	e.env.clock.arrivals(packets)
	for i := range packets {
		p := &packets[i]
		e.tapBytes.Add(uint64(len(p.Data) + len(p.Rest)))
		size, err := e.decode(p)
		switch {
		case err == segment.ErrFragment: // not complete yet
			continue
		case err != nil:
			if _, _, proof := gate.Proof(p.Data); !proof {
				e.badPackets.Add(1)
			}
			continue
		}
		e.env.ways.noteSYN(&e.decoded, p.IfIndex)
		e.dataSeen = e.dataSeen || e.decoded.Len() > 0
		m.Via(p.IfIndex)
		if p.Rest != nil { // the payload is in borrowed memory
			m.Landed(&e.decoded, p.Time)
		} else {
			m.Segment(&e.decoded, p.Time)
		}
		e.inPlace.learn(&e.decoded, size-len(e.decoded.Payload))
	}
}

// decode decodes a packet that may be in two pieces, or the last fragment of one, and
// returns the packet's length.
func (e *Engine) decode(p *tap.Packet) (size int, err error) {
	if p.Truncated {
		return 0, segment.ErrTruncated
	}
	if p.Rest != nil {
		if e.decoder.DecodeSplit(p.Data, p.Rest, p.Checksum, &e.decoded) == nil {
			return len(p.Data) + len(p.Rest), nil
		}
		p.Join()
	}
	packet := p.Data
	if err = e.decoder.Decode(packet, p.Checksum, &e.decoded); err == segment.ErrFragment {
		e.tapFragments.Add(1)
		if packet = e.fragments.Add(packet, p.IfIndex, p.Time); packet == nil {
			return 0, err
		}
		err = e.decoder.Decode(packet, segment.ChecksumVerify, &e.decoded)
	}
	return len(packet), err
}

// events gives the core what the gate has reported.
func (e *Engine) events(m *south.Machine, reports eventReader, events []gate.Event) (int, error) {
	n, err := reports.TryReadBatch(events)
	for i := range n {
		e.event(m, &e.decoder, &events[i])
	}
	return n, err
}

// event decodes one captured packet and gives it to the core. A capture has all headers; where it
// lacks payload, the length in the header is reduced.
func (e *Engine) event(m *south.Machine, dec *segment.Decoder, ev *gate.Event) {
	switch ev.Kind {
	case gate.EventCrashed:
		m.Crashed(ev.Slot, ev.PID, ev.Code)
		return
	case gate.EventProofOut, gate.EventProofIn:
		e.links.proved(ev)
		return
	}
	var s segment.Segment
	if ev.Kind == gate.EventUnfollowed {
		segment.Unfragment(ev.Packet)
	}
	missing := ev.Length - len(ev.Packet)
	if missing > 0 {
		segment.CutLength(ev.Packet)
	}
	if err := dec.Decode(ev.Packet, segment.ChecksumTrusted, &s); err != nil {
		e.badPackets.Add(1)
		e.log.Debug("event not decoded", "kind", ev.Kind, "error", err)
		return
	}
	if ev.Slot == gate.NoSlot {
		e.env.ways.noteSYNACK(&s, ev.IfIndex, ev.Mark)
	}
	length := s.Len()
	packet := ev.Packet
	if missing > 0 {
		length, packet = length+uint32(missing), nil
	}
	if ev.Slot == e.trialSlot() {
		e.trials.answered(&s)
		return
	}
	m.Via(ev.IfIndex)
	m.Event(ev.Kind, &s, length, packet, int64(ev.Ktime))
}
