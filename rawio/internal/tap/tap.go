// Package tap watches the TCP packets that arrive for protected services. It
// is an AF_PACKET raw socket that ignores outgoing packets and sees every
// incoming one before tc ingress, that is, before the gate changes or steals
// it, and after receive offload has merged and verified it.
//
// The tap cannot hold a packet back (the gate does), and it does not promise to
// see each one: when its receive buffer is full the kernel drops the copy and
// counts it ([Tap.Drops]). It never sees the traffic of other ports if its
// filter says so.
package tap

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/internal/segment"
)

// ErrNotSupported is returned by Open where there are no AF_PACKET sockets.
var ErrNotSupported = errors.New("tap: raw packet sockets need Linux")

const (
	// DefaultReceiveBuffer is the default of Config.ReceiveBuffer, in bytes.
	DefaultReceiveBuffer = 64 << 20
	// DefaultBatch is the number of packets in a zero Batch.
	DefaultBatch = 64

	// MaxPacket holds the largest packet that Linux makes, with BIG TCP: its
	// GRO_MAX_SIZE and GSO_MAX_SIZE are 8 times 65535 bytes, without some headers.
	MaxPacket = 516 << 10
	// UsualPacket holds the largest packet without BIG TCP: an IPv6 header and
	// 65535 bytes behind it.
	UsualPacket = 66 << 10
	// MaxHeader bounds the header argument of TryReadSplit.
	MaxHeader = 256
)

// Config configures a tap. The zero value watches everything.
type Config struct {
	// Filter is a BPF program of type SocketFilter that returns 0 for packets
	// to be passed over and at least the packet length for the others. The
	// packet starts at the IP header. Default nil: everything is seen. The
	// program may be closed once Open has returned.
	Filter *ebpf.Program

	// ReceiveBuffer is the size of the kernel's queue in bytes, overhead of
	// small packets included. Default DefaultReceiveBuffer.
	ReceiveBuffer int
}

// Packet is one received packet.
type Packet struct {
	Data      []byte           // from the IP header on; see Batch for its lifetime
	Rest      []byte           // what follows Data, if TryReadSplit put it elsewhere
	Checksum  segment.Checksum // trusted if verified by the kernel, or partial
	Time      int64            // of the arrival, unix time in ns; see Tap.ReadBatch
	IfIndex   int              // interface on which it arrived
	Truncated bool             // longer than the buffer: Data is incomplete
}

// Join puts a packet that TryReadSplit took apart together again in the batch's
// own memory.
func (p *Packet) Join() {
	p.Data = append(p.Data, p.Rest...) // has the room: see buffers
	p.Rest = nil
}

// Batch holds the packets of one ReadBatch together with their buffers. The
// zero value has room for DefaultBatch packets. Packets and their Data are
// valid until the batch is used again, and no longer than it is reachable.
type Batch struct {
	Packets []Packet

	size int
	sys  *buffers
}

// NewBatch returns a batch with room for n packets (at least 1). It reserves
// MaxPacket bytes of address space for each; memory is used as far as packets fill it.
func NewBatch(n int) *Batch { return &Batch{size: max(n, 1)} }

func (b *Batch) capacity() int {
	if b.size == 0 {
		return DefaultBatch
	}
	return b.size
}
