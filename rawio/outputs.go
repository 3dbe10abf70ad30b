package rawio

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// outputBatch is how many captured packets are given to the core at once. With
// segmentation offload one has up to 64 KiB.
const outputBatch = 32

// outputPause is how long the engine waits before it reads more output of live connections, so
// that replies in quick succession cost one wake-up. Nothing depends on that output being
// recorded soon; the output of a roll-forward is read without delay.
const outputPause = 500 * time.Microsecond

// outputLoop gives the core the captured output of unmodified servers.
func (e *Engine) outputLoop() {
	ctx, cancel := e.untilClosing()
	defer cancel()
	var (
		outputs = make([]gate.Output, outputBatch)
		dec     segment.Decoder
		s       segment.Segment
	)
	for {
		n, err := e.captures.ReadBatch(ctx, outputs)
		if err != nil {
			if ctx.Err() == nil {
				e.fail("captured output cannot be read", err)
			}
			return
		}
		rolling := false
		e.do(func(m *south.Machine) {
			for i := range n {
				o := &outputs[i]
				rolling = rolling || o.Kind == gate.OutputRoll
				if err := dec.Decode(o.Packet, segment.ChecksumTrusted, &s); err != nil {
					e.badPackets.Add(1)
					continue
				}
				m.Output(o.Kind, o.Slot, o.Gen, o.Seq, &s)
			}
		})
		if !rolling && n < outputBatch {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(outputPause)}, nil) // an interrupted, shorter pause does no harm
		}
	}
}

// untilClosing returns a context that ends when the engine is closed or has failed.
func (e *Engine) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-e.closing:
			cancel()
		case <-e.failure.failed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
