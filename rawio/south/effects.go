package south

import (
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
)

// What the core acts on besides the log: the network, the gate, the server's record and the
// kernel. Of all methods of the four interfaces holds:
//
//   - They are called by whoever uses the Machine, one at a time, in the order in which the core
//     decides, and do not call back into it.
//   - They do not wait for anybody. Those of Kernel ask the kernel, which takes some microseconds.
//   - Segments, packets and slices belong to the caller again when a method returns. A slice that
//     a method returns is valid until its next call.
//   - Where no error is returned, the implementation counts and logs it. Packets that are not sent
//     are like packets that the network has lost: TCP repeats them.

// Network sends what the core has to say, in the name of either end.
type Network interface {
	// ToClient sends a segment to the client, Forward a packet of the kernel that the gate has
	// held, as it is but for its checksum, which Forward fills in in place. Both may be kept
	// until the Machine's method returns, which the caller must then see to; their order
	// stays.
	ToClient(*segment.Segment)
	Forward(packet []byte)
	// ToServer gives a segment to the local stack, whose answer the gate may judge before
	// ToServer returns: it is neither kept nor put in another order with what the gate is told.
	ToServer(*segment.Segment)
}

// Gate is the connections' shared record with the gate, and what the gate looks up to find it.
type Gate interface {
	// Slot returns slot i; it is always the same. What is stored in it holds for the next packet.
	Slot(i uint32) *gate.Slot
	// Bind makes the gate judge a flow by a slot; Unbind ends that. After an error it is not bound.
	Bind(flow segment.Flow, slot uint32) error
	Unbind(flow segment.Flow)
	// SetService tells the gate whether the port's SYNs are held, and whether its server is
	// unmodified.
	SetService(port uint16, outage, unmodified bool)
	// Unguarded returns the name of an interface to which the gate is not attached; empty: it is.
	Unguarded(ifindex int) string
}

// Record is what the north side records of the connections of servers that are not unmodified,
// in memory that the server process and the engine share. It is found by the slot.
type Record interface {
	// Publish begins the record of a connection, Withdraw ends it. After an error of Publish there
	// is none.
	Publish(slot, gen uint32, flow segment.Flow) error
	Withdraw(slot uint32)
	// Restore is Publish for a connection of which nothing is known but the reads that the
	// log holds, in order, the first of which begins at the offset from.
	Restore(slot, gen uint32, flow segment.Flow, from int64, reads []logserver.ReadRun) error
	// Adopt takes over the record of a connection whose engine is gone, and whose reads the log
	// has up to the offset read. An error says that there is none, or none that fits.
	Adopt(slot, gen uint32, flow segment.Flow, read int64) error
	// Prepare tells the restarted server, before it can accept the connection, where it begins to
	// read and to write, how much of its stream the client has acknowledged and may have been sent,
	// and how much of the client's the log has. Offsets of the streams: b.Out <= una <= sent, b.In <= stable.
	// An error says why the connection cannot be rolled forward.
	Prepare(slot uint32, b Base, una, sent, stable int64) error
	// Head returns how far the server process has come.
	Head(slot uint32) Head
	// NewReads returns the lengths of some reads, in bytes, that were recorded since the last
	// call, in order, and the offset where the last of those and all before ends.
	NewReads(slot uint32) (lengths []uint32, total int64)
}

// Head is what the north side has recorded of a connection.
type Head struct {
	Accepted  bool   // Accept has returned it
	Closing   bool   // Close was called
	Lost      bool   // the record is incomplete: it cannot be rolled forward
	AcceptSeq uint64 // order of acceptance
	Output    int64  // no byte of the server's stream from here on has left
}

// Kernel is the local TCP, its processes and its clock.
type Kernel interface {
	// Now returns the time by which the times given to Segment and Event are measured, in ns. It
	// runs evenly: who sets the host's clock does not set it.
	Now() int64
	// Destroy removes the socket of a flow, if there is one, when it returns.
	Destroy(flow segment.Flow)
	// Socket says what there is of a flow; SocketOpen if that cannot be found out.
	Socket(flow segment.Flow) SocketState
	// Progress says how far the socket of a flow has come. It returns false if there is none, or
	// that is not known.
	Progress(flow segment.Flow) (Progress, bool)
	// Room is how many connections more the queues of a port's listeners take at least; a great
	// number if that is not known.
	Room(port uint16) int
	// Local reports whether what a server at an address sends comes from this host: the address is
	// one of the host's, or the port's listener takes others, too.
	Local(netip.AddrPort) bool
	// Ending reports whether a process that serves the port is ending, or has ended: Crash or
	// Release will follow.
	Ending(port uint16) bool
}

// SocketState says what the kernel has of a connection.
type SocketState uint8

// The states.
const (
	SocketNone     SocketState = iota // nothing, or a listener only
	SocketHalfOpen                    // a handshake that is not done (SYN_RECV)
	SocketOpen                        // any later state
)

// Progress is how far the kernel's socket of a connection has come: new bytes of the
// stream, either way.
type Progress struct{ Received, Sent int64 }
