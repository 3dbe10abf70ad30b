package gate

import (
	"context"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// OutputReader reads what servers send, in the order in which the gate captured
// it. One goroutine reads at a time.
//
// Whoever sets FlagRecord must read: once the ring is full, data of all
// connections with that flag is held.
type OutputReader struct {
	ring ring
}

func newOutputReader(m *ebpf.Map) (*OutputReader, error) {
	r, err := newRing(m)
	if err != nil {
		return nil, err
	}
	return &OutputReader{ring: r}, nil
}

// ReadBatch waits for at least one output and then takes those that are there,
// up to len(outputs). Each Output's storage is reused: what it held is
// overwritten. It returns ctx's error when ctx ends and net.ErrClosed after the
// gate's Close; with an error, no output was read.
func (r *OutputReader) ReadBatch(ctx context.Context, outputs []Output) (int, error) {
	return r.ring.batch(ctx, len(outputs), func(i int, read func(*ringbuf.Record) error) error {
		o := &outputs[i]
		rec := ringbuf.Record{RawSample: o.record}
		if err := read(&rec); err != nil {
			return err
		}
		o.record = rec.RawSample
		return o.decode()
	})
}

// Available reports whether a record is there or being written. It must not be
// called after the gate's Close.
func (r *OutputReader) Available() bool { return r.ring.AvailableBytes() > 0 }
