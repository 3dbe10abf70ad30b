package segment

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestFillChecksum(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:7000", "192.0.2.2:40000"}, {"[2001:db8::1]:7000", "[2001:db8::2]:40000"}} {
		s := Segment{Src: netip.MustParseAddrPort(ends[0]), Dst: netip.MustParseAddrPort(ends[1]),
			Seq: 1, Ack: 2, Flags: ACK | PSH, Window: 3, Payload: []byte("odd")}
		want, err := s.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(want)
		tcp := len(got) - 20 - len(s.Payload)
		got[tcp+16], got[tcp+17] = 0x12, 0x34 // as checksum offload leaves it: anything
		if err := FillChecksum(got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", ends[0], got, want)
		}
	}
}

func TestCutLength(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:7000", "192.0.2.2:40000"}, {"[2001:db8::1]:7000", "[2001:db8::2]:40000"}} {
		s := Segment{Src: netip.MustParseAddrPort(ends[0]), Dst: netip.MustParseAddrPort(ends[1]),
			Seq: 7, Flags: ACK | FIN, Payload: make([]byte, 1000)}
		p, err := s.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		p = p[:len(p)-900]
		CutLength(p)
		var d Decoder
		var got Segment
		if err := d.Decode(p, ChecksumTrusted, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Payload) != 100 || got.Seq != 7 || !got.Flags.Has(FIN) {
			t.Errorf("%s: got %v", ends[0], &got)
		}
	}
}

// TestCutLengthJumbo: what is captured of a super-packet with a jumbo payload option
// is no such packet.
func TestCutLengthJumbo(t *testing.T) {
	s := Segment{Src: server6, Dst: client6, Seq: 7, Flags: ACK | FIN, Payload: make([]byte, 1000)}
	p := withExtensions(mustAppend(t, &s), []byte{nextHopByHop}, 0xc2, 4, 0, 1, 0, 0)
	p[4], p[5] = 0, 0
	p = p[:len(p)-900]
	CutLength(p)
	var got Segment
	if err := new(Decoder).Decode(p, ChecksumTrusted, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Payload) != 100 || got.Seq != 7 || !got.Flags.Has(FIN) {
		t.Errorf("got %v", &got)
	}
}
