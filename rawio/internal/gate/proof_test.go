package gate

import (
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
)

// TestProofPacket: a proof's packet is known by its number, and no other is taken for one.
func TestProofPacket(t *testing.T) {
	flow := ProofFlow(7000)
	if flow.Client != flow.Server || !flow.Client.Addr().IsLoopback() || flow.Server.Port() != 7000 {
		t.Errorf("a flow of %v", flow)
	}
	for _, v6 := range []bool{false, true} {
		for _, number := range []uint32{0, 1, 1<<32 - 1} {
			packet := AppendProof([]byte("before"), flow, v6, number)[len("before"):]
			if n, is6, ok := Proof(packet); n != number || is6 != v6 || !ok {
				t.Errorf("number %d, IPv6 %v: %d, %v, %v", number, v6, n, is6, ok)
			}
			if _, _, ok := Proof(packet[:len(packet)-1]); ok {
				t.Error("a packet that is cut off counts")
			}
			packet[len(packet)-9]++ // of the ACK number
			if _, _, ok := Proof(packet); ok {
				t.Error("a packet with another ACK number counts")
			}
		}
	}
	var s segment.Segment
	if err := new(segment.Decoder).Decode(AppendProof(nil, flow, false, 5), segment.ChecksumVerify, &s); err != nil {
		t.Error(err)
	}
}
