package gate

import "fmt"

// EventKind says what the gate reports.
type EventKind uint32

const (
	EventSYNACK  EventKind = 1 // held: a SYN-ACK that the engine must judge
	EventFINHeld EventKind = 2 // held: a FIN that the application did not announce
	EventRSTHeld EventKind = 3 // held: an RST that the application did not announce
	EventRSTSent EventKind = 4 // left: an RST that the application meant
	EventRefused EventKind = 5 // held: a SYN with an option that cannot be protected (TCP-MD5, TCP-AO)
	EventCrashed EventKind = 6 // the process that held an unmodified server's connection crashed
	EventCookie  EventKind = 7 // held: a SYN-ACK without a socket, a SYN cookie as a rule
	// EventUnfollowed: a segment of the server that cannot be sent again by the engine, with urgent data,
	// or cannot be translated, a fragment. It has left, and so does all that follows (Slot.Opened);
	// a fragment of a translated connection is held.
	EventUnfollowed EventKind = 8
	// A packet of a flow that BindProof has bound was seen at egress of the interface, from
	// where the gate redirects it to ingress of the same interface; and there.
	EventProofOut EventKind = 16
	EventProofIn  EventKind = 17
)

// String returns the kind's name.
func (k EventKind) String() string {
	switch k {
	case EventSYNACK:
		return "SYNACK"
	case EventFINHeld:
		return "FIN_HELD"
	case EventRSTHeld:
		return "RST_HELD"
	case EventRSTSent:
		return "RST_SENT"
	case EventRefused:
		return "REFUSED"
	case EventCrashed:
		return "CRASHED"
	case EventCookie:
		return "COOKIE"
	case EventUnfollowed:
		return "UNFOLLOWED"
	case EventProofOut:
		return "PROOF_OUT"
	case EventProofIn:
		return "PROOF_IN"
	}
	return fmt.Sprintf("EVENT(%d)", uint32(k))
}

// The Slot of an event that is of no known connection.
const (
	NoSlot    = ^uint32(0)
	ProofSlot = NoSlot - 1 // of a flow that BindProof has bound: EventProofOut and EventProofIn
)

// EventCapture is how much of the packet an event holds at most, in bytes
// from the IP header: every header and option of TCP over IPv6.
const EventCapture = 200

// Event is one report of the gate.
type Event struct {
	Kind    EventKind
	Slot    uint32 // NoSlot if the connection is not known
	IfIndex int    // 0 for EventCrashed
	Mark    uint32 // of the packet, behind all hooks of rule sets
	Ktime   uint64 // CLOCK_MONOTONIC, nanoseconds
	// Packet begins at the IP header, as the kernel's socket made it (before
	// any translation), at most EventCapture bytes. For TCP sent with checksum
	// offload the checksum field is not yet filled in.
	Packet []byte
	// Length is the whole packet's length from the IP header.
	Length int

	// PID is the crashed process, by its ID in the PID namespace of the process that
	// called WatchReleases, or in the initial one if it has none there. Code is how it
	// ended, as wait(2) reports it: the exit code times 256, or a signal's number, plus
	// 128 if it dumped core. EventCrashed only. Both are 0 if the kernel released the
	// socket after the process's end (io_uring).
	PID, Code int
}
