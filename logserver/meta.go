package logserver

import (
	"fmt"
	"net/netip"
	"time"
)

// ConnID is a log's number for a connection. It is never 0 and is never given
// to another connection of the same log.
type ConnID uint64

// Flow names a connection by its two endpoints. IPv4 addresses are plain
// (Is4), never IPv4-mapped.
type Flow struct {
	Client, Server netip.AddrPort
}

// Meta is what the log records about a connection besides its data: the
// spec's log_connection_struct.
type Meta struct {
	// ID is the log's number for the connection.
	ID ConnID
	// Tag is the caller's own number for the connection. Every upcall
	// carries it back; the log gives it no meaning.
	Tag uint64
	// Service is the name of the service that the connection belongs to, at most
	// MaxService bytes.
	Service string
	Flow
	// Handshake is what the caller keeps of how the connection began, at most
	// MaxHandshake bytes. The log gives it no meaning.
	Handshake []byte
	// Output is what the caller has last said of the server's stream, of which
	// the log holds nothing.
	Output Output
	// Base is what Rebase was given last. Like the fields below it is the log's to fill: Open and
	// Update ignore it. Active leaves its State out.
	Base Base
	// Finished tells that the client's FIN stands at the end of the data.
	Finished bool
	// Created and Modified are the times of Open and of the last call that
	// added data, reads or the FIN, or of Update.
	Created, Modified time.Time
}

// Output says how far the server's stream had come, for a recovery by a caller
// that knows nothing but the log. Offsets count from 0, the first byte after the
// SYN-ACK. The zero value says nothing.
type Output struct {
	// Acked is how many bytes the client has acknowledged at least.
	Acked int64
	// Closed tells that the server has sent its FIN, which stands at End.
	Closed bool
	End    int64
}

// Base is where what the log holds of a connection begins, and where a recovery begins, therefore:
// a server that has State and gets the client's bytes from In on sends what the one before it has
// sent from Out on. Offsets are in bytes of the two streams, from 0, the first byte after the SYN
// and after the SYN-ACK. The zero value is the beginning of the connection.
type Base struct {
	In, Out int64
	// State is what a server knows at that place, at most MaxState bytes; nil if it needs to
	// know nothing. The log gives it no meaning.
	State []byte
}

// Validate returns ErrInvalid if no log can have such a base: Rebase returns it then.
func (b *Base) Validate() error {
	if b.In < 0 || b.Out < 0 || len(b.State) > MaxState {
		return fmt.Errorf("%w: a base at %d and %d with a state of %d bytes", ErrInvalid, b.In, b.Out, len(b.State))
	}
	return nil
}

// Beyond reports whether b lies beyond another base: in one stream at least, and in none before it.
func (b *Base) Beyond(old Base) bool {
	return b.In >= old.In && b.Out >= old.Out && (b.In > old.In || b.Out > old.Out)
}

const (
	// MaxState is the longest State of a Base, in bytes.
	MaxState = 32 << 10
	// MaxHandshake is the longest Handshake, in bytes: room for the numbers of a TCP
	// connection and the options of its SYN and SYN-ACK, and more.
	MaxHandshake = 255
	// MaxService is the longest name of a service, in bytes.
	MaxService = 255
)

// Validate returns ErrInvalid if a log cannot record m: Open and Update return it then.
func (m *Meta) Validate() error {
	if len(m.Handshake) > MaxHandshake || len(m.Service) > MaxService {
		return fmt.Errorf("%w: %d bytes of the handshake, a service's name of %d", ErrInvalid, len(m.Handshake), len(m.Service))
	}
	return nil
}

// ReadRun is Count reads of Length bytes each, one after the other. Both are
// positive.
type ReadRun struct {
	Length, Count uint32
}

// Upcall is the log's word that something about a connection is stable: the
// spec's Stability Notification.
type Upcall struct {
	ID  ConnID
	Tag uint64
	// Stable is the offset after the last stable byte (the end of Length).
	Stable int64
	// Meta tells that what Open or Update recorded is stable.
	Meta bool
	// Fin tells that the client's FIN, which stands at Stable, is.
	Fin bool
	// Gone tells that the log has lost the connection, what it called stable included:
	// nobody has deleted it here, and calls for it return ErrNoConn from now on. Nothing
	// else in the Upcall counts then.
	Gone bool
}
