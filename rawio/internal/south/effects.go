package south

import (
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// What the core acts on besides the log: the network, the gate, the server's record and the
// kernel. For all methods of the four interfaces:
//
//   - They are called from the goroutine that calls the Machine, one at a time, in the order in which
//     the core decides, and must not call the Machine.
//   - They do not block. Those of Kernel make system calls, which take some microseconds.
//   - Segments, packets and slices belong to the caller again when a method returns. A slice that
//     a method returns is valid until its next call.
//   - Errors that are not returned are counted and logged by the implementation. Packets that are not
//     sent are like packets that the network has lost: TCP retransmits them.

// Network sends the core's segments, in the name of either end.
type Network interface {
	// ToClient sends a segment to the client. Forward sends a packet of the kernel that the gate has
	// held, unchanged but for its checksum, which Forward fills in in place. Both may queue
	// until the Machine's method returns; then the caller sends them, in the order of the calls.
	ToClient(*segment.Segment)
	Forward(packet []byte)
	// ToServer gives a segment to the local stack at once, in order with the changes of slots: the gate
	// may judge the stack's answer before ToServer returns.
	ToServer(*segment.Segment)
}

// Gate is the connections' shared record with the gate, and what the gate looks up to find it.
type Gate interface {
	// Slot returns slot i, always the same pointer. What is stored in it applies to the next packet.
	Slot(i uint32) *gate.Slot
	// Bind makes the gate judge a flow by a slot; Unbind ends that. After an error the flow is not bound.
	Bind(flow segment.Flow, slot uint32) error
	Unbind(flow segment.Flow)
	// SetService tells the gate whether the port's SYNs are held, and whether its server is
	// unmodified.
	SetService(port uint16, outage, unmodified bool)
	// HoldService makes the gate hold all packets of the port, in both directions, that belong to no
	// bound flow, until SetService.
	HoldService(port uint16, unmodified bool)
	// Unguarded returns the name of an interface to which the gate is not attached; empty: it is.
	Unguarded(ifindex int) string
}

// Record is the north side's record of connections, in memory that the server process and the engine
// share. Unmodified servers have none. A connection's record is found by its slot.
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
	// Now returns the time on the clock of the times given to Segment and Event, ns. It is monotonic:
	// setting the host's clock does not change it.
	Now() int64
	// Destroy removes the socket of a flow, if there is one, before it returns.
	Destroy(flow segment.Flow)
	// Socket returns the state of a flow's socket; SocketOpen if that cannot be found out.
	Socket(flow segment.Flow) SocketState
	// Progress returns how much the socket of a flow has received and sent. It returns false if there
	// is no socket, or that cannot be found out.
	Progress(flow segment.Flow) (Progress, bool)
	// Room returns how many more connections the accept queues of a port's listeners have room for, at
	// least; a great number if that is not known.
	Room(port uint16) int
	// Local reports whether a server on this host can have an address: it is
	// one of the host's, or the port's listener accepts connections to others, too.
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

// Progress is how many bytes of each stream the kernel's socket of a connection has received and sent.
type Progress struct{ Received, Sent int64 }
