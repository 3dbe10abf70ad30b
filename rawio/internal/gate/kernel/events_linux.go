package kernel

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// EventReader reads what the gate reports, in the order of the reports.
// One goroutine reads at a time.
type EventReader struct {
	fd     int
	ring   ring
	record ringbuf.Record
}

func newEventReader(m *ebpf.Map) (*EventReader, error) {
	r, err := newRing(m)
	if err != nil {
		return nil, err
	}
	return &EventReader{fd: m.FD(), ring: r}, nil
}

// ReadBatch waits for at least one event and then takes those that are there,
// up to len(events). Each Event's Packet storage is reused: what it held is
// overwritten. It returns ctx's error when ctx ends and net.ErrClosed after the
// gate's Close; with an error, no event was read.
func (r *EventReader) ReadBatch(ctx context.Context, events []gate.Event) (int, error) {
	return r.ring.batch(ctx, len(events), r.into(events))
}

// TryReadBatch takes the events that are there, up to len(events), as ReadBatch
// does, without waiting; 0 if there are none. It must not be called after the
// gate's Close.
func (r *EventReader) TryReadBatch(events []gate.Event) (int, error) {
	return r.ring.try(len(events), r.into(events))
}

// FD is a descriptor that poll(2) reports as readable while there are events. It
// is valid until the gate's Close.
func (r *EventReader) FD() int { return r.fd }

func (r *EventReader) into(events []gate.Event) func(int, func(*ringbuf.Record) error) error {
	return func(i int, read func(*ringbuf.Record) error) error {
		if err := read(&r.record); err != nil {
			return err
		}
		return decodeEvent(&events[i], r.record.RawSample)
	}
}

// Sizes of an event's record in the ring buffer, in bytes: struct event and struct crash
// in bpf/event.h.
const (
	eventHeader = 32
	eventSize   = eventHeader + gate.EventCapture
	crashSize   = eventHeader + 8
)

var errEvent = errors.New("gate: malformed event record")

// decodeEvent fills e from a ring-buffer record, keeping e.Packet's storage.
func decodeEvent(e *gate.Event, rec []byte) error {
	if len(rec) < eventHeader {
		return errEvent
	}
	length := binary.NativeEndian.Uint32(rec[12:])
	n := int(min(length, gate.EventCapture))
	if eventHeader+n > len(rec) {
		return errEvent
	}
	e.Kind = gate.EventKind(binary.NativeEndian.Uint32(rec[0:]))
	e.Slot = binary.NativeEndian.Uint32(rec[4:])
	e.IfIndex = int(binary.NativeEndian.Uint32(rec[8:]))
	e.Length = int(length)
	e.Ktime = binary.NativeEndian.Uint64(rec[16:])
	e.Mark = binary.NativeEndian.Uint32(rec[24:])
	e.Packet = append(e.Packet[:0], rec[eventHeader:eventHeader+n]...)
	e.PID, e.Code = 0, 0
	if e.Kind == gate.EventCrashed {
		if len(rec) < crashSize || n > 0 {
			return errEvent
		}
		e.PID = int(binary.NativeEndian.Uint32(rec[eventHeader:]))
		e.Code = int(int32(binary.NativeEndian.Uint32(rec[eventHeader+4:])))
	}
	return nil
}
