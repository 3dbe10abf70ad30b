package gate

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
)

// Sizes of the headers of a proof's packet, without options.
const (
	ipv4Header, ipv6Header, tcpHeader = 20, 40, 20

	protoTCP = 6
	flagACK  = 0x10
)

// ProofFlow returns a flow for BindProof, of a service's port: both its ends are the same random
// loopback address. No host accepts a packet of it from a network.
func ProofFlow(port uint16) segment.Flow {
	a := [4]byte{127}
	rand.Read(a[1:]) // it never fails
	a[3] |= 1        // neither the network's address nor the last one
	end := netip.AddrPortFrom(netip.AddrFrom4(a), port)
	return segment.Flow{Client: end, Server: end}
}

// AppendProof appends an IP packet of such a flow, an ACK with a number that identifies
// its events: see Proof. As IPv6 it has IPv4-mapped addresses, which no host accepts from a network
// either (RFC 4942, section 2.2): to the gate that is the same flow.
func AppendProof(b []byte, flow segment.Flow, v6 bool, number uint32) []byte {
	from := len(b)
	addr := flow.Client.Addr()
	if v6 {
		a := addr.As16()
		b = append(b, 0x60, 0, 0, 0, 0, tcpHeader, protoTCP, 1)
		b = append(append(b, a[:]...), a[:]...)
		addr = netip.AddrFrom16(a)
	} else {
		a := addr.As4()
		b = append(b, 0x45, 0, 0, ipv4Header+tcpHeader, 0, 0, 0x40, 0, 1, protoTCP, 0, 0)
		b = append(append(b, a[:]...), a[:]...)
		binary.BigEndian.PutUint16(b[from+10:], ^onesSum(0, b[from:]))
	}
	tcp := len(b)
	b = binary.BigEndian.AppendUint16(b, flow.Client.Port())
	b = binary.BigEndian.AppendUint16(b, flow.Client.Port())
	b = binary.BigEndian.AppendUint32(b, number)
	b = binary.BigEndian.AppendUint32(b, ^number)
	b = append(b, tcpHeader<<2, flagACK, 0, 0, 0, 0, 0, 0)
	pseudo := 2*uint32(onesSum(0, addr.AsSlice())) + protoTCP + tcpHeader // RFC 9293, section 3.1
	binary.BigEndian.PutUint16(b[tcp+16:], ^onesSum(pseudo, b[tcp:]))
	return b
}

// Proof returns the number of a packet that AppendProof has made, and whether it is IPv6;
// ok is false if it is none of these.
func Proof(packet []byte) (number uint32, v6, ok bool) {
	var tcp []byte
	switch {
	case len(packet) >= ipv6Header+tcpHeader && packet[0]>>4 == 6 && packet[6] == protoTCP:
		tcp, v6 = packet[ipv6Header:], true
	case len(packet) >= ipv4Header+tcpHeader && packet[0] == 0x45 && packet[9] == protoTCP:
		tcp = packet[ipv4Header:]
	default:
		return 0, false, false
	}
	number = binary.BigEndian.Uint32(tcp[4:])
	return number, v6, binary.BigEndian.Uint32(tcp[8:]) == ^number
}

// onesSum is the ones' complement sum of 16-bit words (RFC 1071); b's length is even.
func onesSum(sum uint32, b []byte) uint16 {
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
