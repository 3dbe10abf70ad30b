package rawio

import (
	"errors"
	"net"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
	"github.com/ftnet/ftnet/rawio/south"
)

// outputBatch is how many captured packets are given to the core at once. With
// segmentation offload one has up to 64 KiB.
const outputBatch = 32

// outputLoop feeds the core with what the gate captures of unmodified servers.
func (e *Engine) outputLoop() {
	ctx, cancel := e.untilClosing()
	defer cancel()
	var (
		outputs = make([]gate.Output, outputBatch)
		dec     segment.Decoder
		s       segment.Segment
	)
	for reader := e.gate.Outputs(); ; {
		n, err := reader.ReadBatch(ctx, outputs)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				e.log.Error("captured output cannot be read; unmodified servers stand still", "error", err)
			}
			return
		}
		e.do(func(m *south.Machine) {
			for i := range n {
				o := &outputs[i]
				if err := dec.Decode(o.Packet, segment.ChecksumTrusted, &s); err != nil {
					e.badPackets.Add(1)
					continue
				}
				m.Output(o.Kind, o.Slot, o.Gen, o.Seq, &s)
			}
		})
	}
}
