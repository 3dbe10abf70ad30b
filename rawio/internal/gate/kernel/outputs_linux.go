package kernel

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// OutputReader reads what servers send, in the order in which the gate captured
// it. One goroutine reads at a time.
//
// Whoever sets FlagRecord must read: once the ring is full, data of all
// connections with that flag is held.
type OutputReader struct {
	ring    ring
	records [][]byte // in which the packets of a batch lie
}

func newOutputReader(m *ebpf.Map) (*OutputReader, error) {
	r, err := newRing(m)
	if err != nil {
		return nil, err
	}
	return &OutputReader{ring: r}, nil
}

// ReadBatch waits for at least one output and then takes those that are there,
// up to len(outputs). Their packets are valid until the next call. It returns
// ctx's error when ctx ends and net.ErrClosed after the gate's Close; with an
// error, no output was read.
func (r *OutputReader) ReadBatch(ctx context.Context, outputs []gate.Output) (int, error) {
	if more := len(outputs) - len(r.records); more > 0 {
		r.records = append(r.records, make([][]byte, more)...)
	}
	return r.ring.batch(ctx, len(outputs), func(i int, read func(*ringbuf.Record) error) error {
		rec := ringbuf.Record{RawSample: r.records[i]}
		if err := read(&rec); err != nil {
			return err
		}
		r.records[i] = rec.RawSample
		return decodeOutput(&outputs[i], rec.RawSample)
	})
}

// outputHeader is the size in bytes of struct output_head in bpf/output.h, with which a
// record begins. Only some sizes of records exist; what follows the packet is undefined.
const outputHeader = 32

var errOutput = errors.New("gate: malformed output record")

// decodeOutput fills o from a ring-buffer record, in which its packet lies.
func decodeOutput(o *gate.Output, rec []byte) error {
	if len(rec) < outputHeader {
		return errOutput
	}
	n := binary.NativeEndian.Uint32(rec[16:])
	if uint64(n) > uint64(len(rec)-outputHeader) {
		return errOutput
	}
	o.Kind = gate.OutputKind(binary.NativeEndian.Uint32(rec[0:]))
	o.Slot = binary.NativeEndian.Uint32(rec[4:])
	o.Gen = binary.NativeEndian.Uint32(rec[8:])
	o.Seq = binary.NativeEndian.Uint32(rec[12:])
	o.Ktime = binary.NativeEndian.Uint64(rec[24:])
	o.Packet = rec[outputHeader:][:n:n]
	return nil
}
