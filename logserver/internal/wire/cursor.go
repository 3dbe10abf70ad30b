package wire

import (
	"encoding/binary"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

var be = binary.BigEndian

// cursor takes a payload apart.
type cursor struct{ record.Cursor }

func newCursor(f Frame) cursor { return cursor{record.NewCursor(f.Payload)} }

func (c *cursor) zero(n int) {
	for _, b := range c.Take(n) {
		c.Refuse(b != 0)
	}
}

func (c *cursor) id() logserver.ConnID { return logserver.ConnID(c.U64()) }
