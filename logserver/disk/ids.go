package disk

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// numbers knows which connection numbers were used. Each start of a log has a
// block of its own, from which it chooses, so that a number that was given out
// and never became stable is not given out again. Log.mu guards it.
type numbers struct {
	own  uint32 // this start's block
	safe bool   // which is on the disk
	// used are those that were given out, stable those of records that are stable.
	used, stable table.Numbers
	closed       uint32 // blocks below it are closed unless listed
	opened       uint64 // how many connections were opened
}

// choose returns a number above all that were used.
func (n *numbers) choose() logserver.ConnID {
	id := max(n.used.Highest(), logserver.ConnID(n.own)<<32) + 1
	n.used.Note(id)
	return id
}

// claim marks a given number as used, if it may be.
func (n *numbers) claim(id logserver.ConnID) error {
	block := uint32(id >> 32)
	if _, ok := n.used.Blocks[block]; !ok && block < n.closed {
		return logserver.ErrExists
	}
	if err := n.used.Check(id); err != nil {
		return err
	}
	n.used.Note(id)
	return nil
}

// settle notes that a record of the connection is stable.
func (n *numbers) settle(id logserver.ConnID) {
	n.used.Note(id)
	n.stable.Note(id)
}

// fill puts into a segment's header what must outlive the segments before.
func (n *numbers) fill(h *format.SegmentHeader) {
	h.HighBlock, h.Closed, h.Opened = n.own, n.closed, n.opened
	h.Blocks = h.Blocks[:0]
	for block, high := range n.stable.Blocks {
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
		n.settle(logserver.ConnID(b.Number)<<32 | logserver.ConnID(b.High))
	}
}

// begin takes the next block for this start, if any log was here before.
func (n *numbers) begin(fresh bool) {
	if !fresh {
		n.own = max(n.own, uint32(n.used.Highest()>>32)) + 1
	}
}
