package ftnet

import (
	"errors"
	"fmt"
	"net"
)

var (
	// ErrNoEngine is returned by Listen when the process does not run under
	// an engine ("ftnet run"), or the engine does not answer.
	ErrNoEngine = errors.New("no ftnet engine (start the server with \"ftnet run -- COMMAND\", or set ListenConfig.Optional)")
	// ErrNotSupported is returned by Listen on systems other than Linux. It
	// satisfies errors.Is(err, errors.ErrUnsupported).
	ErrNotSupported = fmt.Errorf("connections can be protected on Linux only: %w", errors.ErrUnsupported)
	// ErrReplaying is returned by the raw reads and writes of SyscallConn
	// while the connection is being rolled forward.
	ErrReplaying = errors.New("connection is being rolled forward")
)

// MismatchError is returned by Write, CloseWrite and Close on a recovered
// connection when the restarted handler did something else than what the
// client has already seen. The connection is reset then. It comes inside a
// *net.OpError.
type MismatchError struct {
	// Offset is the offset in the output, in bytes, of the first difference.
	// If End is greater than Offset+1, only the block from Offset to End is
	// known in which it lies.
	Offset, End int64
	// Early means that the handler ended its output at Offset, before the
	// client's End.
	Early bool
}

func (e *MismatchError) Error() string {
	switch {
	case e.Early:
		return fmt.Sprintf("restarted handler ended its output at offset %d, but had written %d bytes before the crash", e.Offset, e.End)
	case e.End > e.Offset+1:
		return fmt.Sprintf("restarted handler's output differs from what the client has, within [%d,%d)", e.Offset, e.End)
	}
	return fmt.Sprintf("restarted handler's output differs from what the client has, at offset %d", e.Offset)
}

// opError dresses an error as net does.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.tcp.LocalAddr(), Addr: c.tcp.RemoteAddr(), Err: err}
}
