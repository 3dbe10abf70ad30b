package disk

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// numbers knows which connection numbers were used. They come in blocks of
// 2^32; in each they are used in rising order. Each start of a log has a block of
// its own, from which it chooses, so that a number that was given out and
// never became stable is not given out again. Log.mu guards it.
type numbers struct {
	own     uint32 // this start's block
	safe    bool   // which is on the disk
	highest uint64
	// used tells the highest number of each block that was given out, stable
	// only those of records that are stable.
	used, stable map[uint32]uint32
	closed       uint32 // blocks below it are closed unless listed
	opened       uint64 // how many connections were opened
}

func (n *numbers) note(id uint64) {
	block, low := uint32(id>>32), uint32(id)
	if high, ok := n.used[block]; !ok || low > high {
		n.used[block] = low
	}
	n.highest = max(n.highest, id)
}

// settle notes that a record of the connection is stable.
func (n *numbers) settle(id uint64) {
	block, low := uint32(id>>32), uint32(id)
	if high, ok := n.stable[block]; !ok || low > high {
		n.stable[block] = low
	}
}

// choose returns a number above all that were used.
func (n *numbers) choose() uint64 {
	id := max(n.highest, uint64(n.own)<<32) + 1
	n.note(id)
	return id
}

// claim marks a given number as used, if it may be.
func (n *numbers) claim(id uint64) error {
	block, low := uint32(id>>32), uint32(id)
	high, ok := n.used[block]
	if ok && low <= high || !ok && block < n.closed {
		return logserver.ErrExists
	}
	n.note(id)
	return nil
}

// fill puts into a segment's header what must outlive the segments before.
func (n *numbers) fill(h *format.SegmentHeader) {
	h.HighBlock, h.Closed, h.Opened = n.own, n.closed, n.opened
	h.Blocks = h.Blocks[:0]
	for block, high := range n.stable {
		h.Blocks = append(h.Blocks, format.Block{Number: block, High: high})
		h.HighBlock = max(h.HighBlock, block)
	}
	slices.SortFunc(h.Blocks, func(a, b format.Block) int { return cmp.Compare(a.Number, b.Number) })
	if more := len(h.Blocks) - format.MaxBlocks; more > 0 {
		h.Closed = max(h.Closed, h.Blocks[more-1].Number+1)
		h.Blocks = h.Blocks[more:]
	}
}

// learn takes what a segment's header says.
func (n *numbers) learn(h *format.SegmentHeader) {
	n.own = max(n.own, h.HighBlock)
	n.closed = max(n.closed, h.Closed)
	n.opened = max(n.opened, h.Opened)
	for _, b := range h.Blocks {
		id := uint64(b.Number)<<32 | uint64(b.High)
		n.note(id)
		n.settle(id)
	}
}

// begin takes the next block for this start, if any log was here before.
func (n *numbers) begin(fresh bool) {
	if !fresh {
		n.own = max(n.own, uint32(n.highest>>32)) + 1
	}
}
