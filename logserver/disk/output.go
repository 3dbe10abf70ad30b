package disk

import (
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/disk/internal/vfs"
)

// output composes what one write is to write, in memory that a device may take
// it from.
type output struct {
	mem    []byte
	used   int
	pieces [][]byte
}

// reset empties it, and makes room for n bytes.
func (o *output) reset(n int) {
	o.used = 0
	if n = int(blockEnd(int64(n))); n > len(o.mem) {
		o.mem = vfs.AlignedBytes(n)
	}
}

// grab returns n bytes that are to be written next.
func (o *output) grab(n int) []byte {
	b := o.mem[o.used : o.used+n : o.used+n]
	o.used += n
	return b
}

// pad fills the last block with zeros, and returns what is to be written.
func (o *output) pad() []byte {
	clear(o.grab(int(blockEnd(int64(o.used))) - o.used))
	return o.mem[:o.used]
}

// record adds a record.
func (o *output) record(c *format.Codec, h format.Header, payload []byte, pieces []piece) {
	o.pieces = o.pieces[:0]
	if payload != nil {
		o.pieces = append(o.pieces, payload)
	}
	for _, p := range pieces {
		o.pieces = append(o.pieces, p.bytes())
	}
	c.Put(o.grab(c.Size(int(h.N))), h, o.pieces...)
	clear(o.pieces)
}
