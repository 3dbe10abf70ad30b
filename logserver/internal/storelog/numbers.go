package storelog

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// numbers knows which connection numbers were used. Each start of a log has a
// block of its own, from which it chooses, so that a number that was given out
// and never became stable is not given out again. Log.mu guards it.
type numbers struct {
	own  uint32 // this start's block
	safe bool   // which is in the store
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

// maxBlocks is how many blocks a head has room for.
const maxBlocks = (store.MaxHead - 16) / 8

// appendHead adds what must outlive all segments before one that begins now: 4 bytes, the highest
// block that was used or may have been; 4, blocks below it are closed, unless listed; 8, how many
// connections were ever opened; and the list, of 4 bytes for a block and 4 for the highest
// number used in it. All have their most significant byte first.
func (n *numbers) appendHead(b []byte) []byte {
	highest, closed := n.own, n.closed
	blocks := slices.Sorted(maps.Keys(n.stable.Blocks))
	if len(blocks) > 0 {
		highest = max(highest, blocks[len(blocks)-1])
	}
	if more := len(blocks) - maxBlocks; more > 0 {
		closed = max(closed, blocks[more-1]+1)
		blocks = blocks[more:]
	}
	be := binary.BigEndian
	b = be.AppendUint32(b, highest)
	b = be.AppendUint32(b, closed)
	b = be.AppendUint64(b, n.opened)
	for _, block := range blocks {
		b = be.AppendUint32(be.AppendUint32(b, block), n.stable.Blocks[block])
	}
	return b
}

// learn takes what a segment's head says.
func (n *numbers) learn(head []byte) {
	c := record.NewCursor(head)
	n.own = max(n.own, c.U32())
	n.closed = max(n.closed, c.U32())
	n.opened = max(n.opened, c.U64())
	for c.More() {
		block, high := c.U32(), c.U32()
		n.settle(logserver.ConnID(block)<<32 | logserver.ConnID(high))
	}
}

// begin takes the next block for this start, if any log was here before.
func (n *numbers) begin(fresh bool) {
	if !fresh {
		n.own = max(n.own, uint32(n.used.Highest()>>32)) + 1
	}
}
