package gate

import (
	"context"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
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

// Read waits for one event. It returns ctx's error when ctx ends and
// net.ErrClosed after the gate's Close.
func (r *EventReader) Read(ctx context.Context) (Event, error) {
	var e [1]Event
	_, err := r.ReadBatch(ctx, e[:])
	return e[0], err
}

// ReadBatch waits for at least one event and then takes those that are there,
// up to len(events). Each Event's Packet storage is reused: what it held is
// overwritten. Errors are those of Read; with one, no event was read.
func (r *EventReader) ReadBatch(ctx context.Context, events []Event) (int, error) {
	return r.ring.batch(ctx, len(events), r.into(events))
}

// TryReadBatch takes the events that are there, up to len(events), as ReadBatch
// does, without waiting; 0 if there are none. It must not be called after the
// gate's Close.
func (r *EventReader) TryReadBatch(events []Event) (int, error) {
	return r.ring.try(len(events), r.into(events))
}

// FD is a descriptor that poll(2) reports as readable while there are events. It
// is valid until the gate's Close.
func (r *EventReader) FD() int { return r.fd }

func (r *EventReader) into(events []Event) func(int, func(*ringbuf.Record) error) error {
	return func(i int, read func(*ringbuf.Record) error) error {
		if err := read(&r.record); err != nil {
			return err
		}
		return events[i].decode(r.record.RawSample)
	}
}
