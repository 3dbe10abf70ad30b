package gate

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// EventReader reads what the gate reports, in the order of the reports.
// One goroutine reads at a time.
type EventReader struct {
	ring   *ringbuf.Reader
	record ringbuf.Record
}

func newEventReader(m *ebpf.Map) (*EventReader, error) {
	ring, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, err
	}
	return &EventReader{ring: ring}, nil
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
	if len(events) == 0 {
		return 0, nil
	}
	if err := r.wait(ctx, &events[0]); err != nil {
		return 0, err
	}
	n := 1
	for n < len(events) && r.ring.AvailableBytes() > 0 {
		if err := r.read(&events[n]); err != nil {
			break
		}
		n++
	}
	return n, nil
}

func (r *EventReader) wait(ctx context.Context, e *Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { r.ring.Flush() })
		defer stop()
	}
	for {
		err := r.read(e)
		if !errors.Is(err, ringbuf.ErrFlushed) {
			return err
		}
		// The flush may be that of an earlier call's context.
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r *EventReader) read(e *Event) error {
	err := r.ring.ReadInto(&r.record)
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	if err != nil {
		return err
	}
	return e.decode(r.record.RawSample)
}

func (r *EventReader) close() error { return r.ring.Close() }
