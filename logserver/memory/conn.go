package memory

import (
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// connCost is what a connection's record is charged for, in bytes: about what
// it occupies.
const connCost = 320

// conn is a connection. There may be a million idle ones, hence the pains to
// keep it small.
type conn struct {
	mu sync.Mutex // guards all below but id

	id       logserver.ConnID
	info     table.Info
	finished bool
	gone     bool  // deleted, or the log is closed
	users    int32 // of chunks outside the lock: readers, borrowers

	start, end int64
	extents    []extent
	lent       int64 // what lies below was lent, and may be soiled
	// unread holds what was freed while it had users.
	unread *[]dirty
	reads  *reads // nil until a read is recorded
}

// meta returns what Active tells.
func (c *conn) meta() logserver.Meta {
	m := c.info.Meta(c.id, c.finished)
	m.Base = c.info.Base(c.start)
	m.Base.State = nil
	return m
}
