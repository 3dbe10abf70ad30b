package gate

import "fmt"

// OutputKind says why a packet was captured.
type OutputKind uint32

const (
	OutputSent OutputKind = 1 // FlagRecord: it leaves, perhaps changed
	OutputRoll OutputKind = 2 // ModeRoll: it was held
)

// String returns the kind's name.
func (k OutputKind) String() string {
	switch k {
	case OutputSent:
		return "SENT"
	case OutputRoll:
		return "ROLL"
	}
	return fmt.Sprintf("OUTPUT(%d)", uint32(k))
}

// Output is one packet of a server, captured whole.
type Output struct {
	Kind OutputKind
	Slot uint32
	Gen  uint32 // the slot's generation when the packet was captured
	// Seq is the packet's sequence number: for OutputSent as the client sees
	// it, for OutputRoll the kernel's own.
	Seq   uint32
	Ktime uint64 // CLOCK_MONOTONIC, nanoseconds
	// Packet begins at the IP header and is as the kernel's socket made it: its
	// ACK number may be lowered and its numbers translated before it leaves. A
	// super-packet (GSO) is one Output. For TCP sent with checksum offload the
	// checksum field is not yet filled in.
	Packet []byte
}
