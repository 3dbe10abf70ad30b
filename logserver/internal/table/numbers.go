package table

import (
	"fmt"

	"github.com/ftnet/ftnet/logserver"
)

// Numbers knows which connection numbers were used. They come in blocks of 2^32, those with
// the same upper half; in each they are used in rising order. The zero value knows none.
type Numbers struct {
	highest logserver.ConnID
	// Blocks tells the highest lower half of each block that was used.
	Blocks map[uint32]uint32
}

// Highest returns the highest number that was used, or 0.
func (n *Numbers) Highest() logserver.ConnID { return n.highest }

// Note marks a number as used, and with it all below it in its block.
func (n *Numbers) Note(id logserver.ConnID) {
	block, low := uint32(id>>32), uint32(id)
	if high, ok := n.Blocks[block]; !ok || low > high {
		if n.Blocks == nil {
			n.Blocks = make(map[uint32]uint32)
		}
		n.Blocks[block] = low
	}
	n.highest = max(n.highest, id)
}

// Check returns logserver.ErrExists if a number was used.
func (n *Numbers) Check(id logserver.ConnID) error {
	if high, ok := n.Blocks[uint32(id>>32)]; ok && uint32(id) <= high {
		return fmt.Errorf("%w: %d", logserver.ErrExists, id)
	}
	return nil
}
