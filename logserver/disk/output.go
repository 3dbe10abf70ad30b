package disk

import "github.com/ftnet/ftnet/logserver/disk/format"

// output gathers what one write is to write. Small things are copied together,
// large ones are written from where they are.
type output struct {
	bufs   [][]byte
	chunk  int      // least length of chunks
	chunks [][]byte // memory for what is copied; used ones first
	used   int      // chunks
	free   []byte   // of the last chunk
	last   bool     // the last of bufs ends where free begins
	pieces [][]byte
}

const (
	outputChunk = 1 << 20 // at most
	// copyBelow is the length from which on copying costs more than one more
	// buffer in a vectored write.
	copyBelow = 4096
)

func (o *output) reset() {
	clear(o.bufs)
	o.bufs, o.used, o.free, o.last = o.bufs[:0], 0, nil, false
}

// grab returns n bytes that are to be written next.
func (o *output) grab(n int) []byte {
	if n == 0 {
		return nil
	}
	if len(o.free) < n {
		if o.used == len(o.chunks) {
			o.chunks = append(o.chunks, make([]byte, max(n, o.chunk)))
		} else if len(o.chunks[o.used]) < n {
			o.chunks[o.used] = make([]byte, n)
		}
		o.free = o.chunks[o.used]
		o.used++
		o.last = false
	}
	b := o.free[:n]
	o.free = o.free[n:]
	if o.last {
		prev := &o.bufs[len(o.bufs)-1]
		*prev = (*prev)[:len(*prev)+n]
	} else {
		o.bufs = append(o.bufs, b[:n:cap(b)])
		o.last = true
	}
	return b[:n:n]
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
	size := c.Size(int(h.N))
	if c.Encrypted() {
		c.PutSealed(o.grab(size), h, o.pieces...)
		return
	}
	c.PutPlain(o.grab(format.HeaderSize), h, o.pieces...)
	for _, p := range o.pieces {
		if len(p) < copyBelow {
			copy(o.grab(len(p)), p)
			continue
		}
		o.bufs = append(o.bufs, p)
		o.last = false
	}
	clear(o.grab(size - format.HeaderSize - int(h.N)))
}
