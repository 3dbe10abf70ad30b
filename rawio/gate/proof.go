package gate

import (
	"crypto/rand"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
)

// ProofFlow returns a flow for BindProof, of a service's port: both its ends are the same
// loopback address, which is drawn by lot. No host takes a packet of it from a network.
func ProofFlow(port uint16) segment.Flow {
	a := [4]byte{127}
	rand.Read(a[1:]) // it never fails
	a[3] |= 1        // neither the network's address nor the last one
	end := netip.AddrPortFrom(netip.AddrFrom4(a), port)
	return segment.Flow{Client: end, Server: end}
}

// AppendProof appends an IP packet of such a flow, an ACK with a number by which the
// events that it leads to are known again: see Proof. As IPv6 its addresses are
// IPv4's, mapped, which no host takes from a network either (RFC 4942, section 2.2): to
// the gate that is the same flow.
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
		b = append(b, 0x45, 0, 0, 20+tcpHeader, 0, 0, 0x40, 0, 1, protoTCP, 0, 0)
		b = append(append(b, a[:]...), a[:]...)
		be.PutUint16(b[from+10:], ^onesSum(0, b[from:]))
	}
	l4 := len(b)
	b = be.AppendUint16(b, flow.Client.Port())
	b = be.AppendUint16(b, flow.Client.Port())
	b = be.AppendUint32(b, number)
	b = be.AppendUint32(b, ^number)
	b = append(b, tcpHeader<<2, flagACK, 0, 0, 0, 0, 0, 0)
	be.PutUint16(b[l4+16:], ^onesSum(pseudo(addr, addr, protoTCP, tcpHeader), b[l4:]))
	return b
}

// Proof returns the number of a packet that AppendProof has made, and whether it is IPv6;
// ok is false if it is none of these.
func Proof(packet []byte) (number uint32, v6, ok bool) {
	p, ok := parseIP(packet)
	if !ok || p.protocol != protoTCP || len(p.b) < p.l4+tcpHeader {
		return 0, false, false
	}
	number = be.Uint32(p.tcp()[4:])
	return number, p.b[0]>>4 == 6, be.Uint32(p.tcp()[8:]) == ^number
}
