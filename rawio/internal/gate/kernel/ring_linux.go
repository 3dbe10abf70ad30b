package kernel

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// ring is a BPF ring buffer that is read in batches, under contexts.
type ring struct{ *ringbuf.Reader }

func newRing(m *ebpf.Map) (ring, error) {
	r, err := ringbuf.NewReader(m)
	return ring{r}, err
}

// batch calls take for up to n records. It blocks only until the first one arrives.
// take gets the record's number in the batch and the function that reads the record.
func (r ring) batch(ctx context.Context, n int, take func(i int, read func(*ringbuf.Record) error) error) (int, error) {
	if n == 0 {
		return 0, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := r.wait(ctx, take); err != nil {
		return 0, err
	}
	i := 1
	if i < n && r.AvailableBytes() > 0 {
		// What is there may still be being written, or turn out to be void.
		r.SetDeadline(time.Unix(1, 0))
		defer r.SetDeadline(time.Time{})
		for i < n && r.AvailableBytes() > 0 && take(i, r.read) == nil {
			i++
		}
	}
	return i, nil
}

// try calls take for up to n of the records that are available. It does not block.
func (r ring) try(n int, take func(i int, read func(*ringbuf.Record) error) error) (int, error) {
	i := 0
	if r.AvailableBytes() == 0 {
		return 0, nil
	}
	// What is there may still be being written, or turn out to be void.
	r.SetDeadline(time.Unix(1, 0))
	defer r.SetDeadline(time.Time{})
	for i < n && r.AvailableBytes() > 0 {
		err := take(i, r.read)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return i, err
		}
		i++
	}
	return i, nil
}

func (r ring) wait(ctx context.Context, take func(int, func(*ringbuf.Record) error) error) error {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { r.Flush() })
		defer stop()
	}
	for {
		err := take(0, r.read)
		if !errors.Is(err, ringbuf.ErrFlushed) {
			return err
		}
		// The flush may be that of an earlier call's context.
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r ring) read(rec *ringbuf.Record) error {
	err := r.ReadInto(rec)
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}
