package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
)

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

// Sizes of a record in the ring buffer, in bytes. Only some sizes exist; what
// follows the packet in a record is undefined.
const (
	outputHeader = 32 // struct output_head in bpf/output.h
	maxOutput    = 516 << 10
)

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
	// checksum field is not yet filled in. It lies in storage that the next
	// read into this Output reuses.
	Packet []byte

	record []byte // what Packet lies in
}

var errOutput = errors.New("gate: malformed output record")

// decode fills o from o.record, a ring-buffer record.
func (o *Output) decode() error {
	rec := o.record
	if len(rec) < outputHeader {
		return errOutput
	}
	n := binary.NativeEndian.Uint32(rec[16:])
	if uint64(n) > uint64(len(rec)-outputHeader) {
		return errOutput
	}
	o.Kind = OutputKind(binary.NativeEndian.Uint32(rec[0:]))
	o.Slot = binary.NativeEndian.Uint32(rec[4:])
	o.Gen = binary.NativeEndian.Uint32(rec[8:])
	o.Seq = binary.NativeEndian.Uint32(rec[12:])
	o.Ktime = binary.NativeEndian.Uint64(rec[24:])
	o.Packet = rec[outputHeader:][:n:n]
	return nil
}
