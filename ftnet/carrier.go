package ftnet

import (
	"context"
	"os"
	"time"

	"github.com/ftnet/ftnet/internal/control"
)

// carrier moves and keeps a connection's bytes: what [Conn] needs, and nothing about how a
// crash is survived. [packetCarrier] is the implementation in use.
//
// Its methods may be called side by side, as those of *net.TCPConn; Conn calls Read and ReadLog for
// one reader at a time, and Write and SendFile for one writer at a time. Either
// Close or Abort is called, once, and CloseWrite is not called after it. Read, Write, SendFile and
// CloseRead then return net's error for a closed connection, also calls that were blocked.
type carrier interface {
	// Read reads what the client has sent and no log has to give (see start.logged). It blocks until
	// there is something, the read deadline passes, or the connection is closed. Conn records
	// time-outs. io.EOF it does not: Read says it again, also after a crash. A connection of which it
	// has said another error must not be recovered, for nobody would say that again.
	Read(p []byte) (int, error)
	// Write hands output on to the client. It blocks until all is taken, the write deadline
	// passes, or the connection is closed; it returns how much was taken.
	Write(p []byte) (int, error)
	// SendFile is Write of the next n bytes of a file that this process need not see. Less
	// without an error is the end of the file.
	SendFile(f *os.File, n int64) (int64, error)
	// SetReadDeadline and SetWriteDeadline are those of net.Conn. Read, or Write and SendFile,
	// fail with os.ErrDeadlineExceeded, in what net makes of it, when the deadline has passed.
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error

	// CloseRead ends the reading side: Read returns io.EOF.
	CloseRead() error
	// CloseWrite ends the output, and says that the application means it: the client gets the
	// end of the stream after all that was written.
	CloseWrite() error
	// Close ends the connection, and says that the application means it: a crash from here on
	// does not bring it back. Linger is that of the socket.
	Close() error
	// Abort resets the connection, and says that this is meant.
	Abort() error

	// Start returns where a recovered connection's replay begins. It does not change.
	Start() start
	// State returns what a handler that begins at Start has to know, nil if that is nothing. It blocks as
	// ReadLog does.
	State(ctx context.Context) ([]byte, error)
	// ReadLog returns a page of the logged input from offset at of the client's stream on: at
	// least one byte, where start says that there is some. It is valid until the next
	// call. ReadLog blocks until the log can be read or ctx ends.
	ReadLog(ctx context.Context, at int64) ([]byte, error)
	// Mismatch reports to the engine that the restarted handler's output differs. It fills in
	// Slot and Gen.
	Mismatch(ctx context.Context, m control.Mismatch) error
}

// start is where the replay of a recovered connection begins, and what the carrier knows of both
// streams then. All are offsets in bytes, 0 being the first byte after the SYN.
type start struct {
	// The handler begins to read at in and to write at out. What lies before is not repeated.
	in, out int64
	// Input from in to logged comes from the log, what follows from the live connection.
	logged int64
	// The client has acknowledged output below it.
	acked int64
}
