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

// TestUnfragment: a first fragment's headers can be read, whatever lacks of it.
func TestUnfragment(t *testing.T) {
	both(t, make([]byte, 1000), func(t *testing.T, whole []byte) {
		first := fragmentOf(whole, 1, part{0, 400}, true)
		first = first[:200] // as captured
		Unfragment(first)
		CutLength(first)
		var got Segment
		if err := new(Decoder).Decode(first, ChecksumTrusted, &got); err != nil {
			t.Fatal(err)
		}
		if got.Seq != 1 || got.Ack != 2 {
			t.Errorf("got %v", &got)
		}
		for _, p := range [][]byte{whole, fragmentOf(whole, 1, part{400, 408}, true), nil} {
			before := bytes.Clone(p)
			Unfragment(p)
			if !bytes.Equal(p, before) {
				t.Errorf("%x became %x", before, p)
			}
		}
	})
}

// FuzzFill: no packet harms what makes its headers readable.
func FuzzFill(f *testing.F) {
	for _, p := range realPackets(f) {
		f.Add(p)
		f.Add(fragmentOf(p, 1, part{0, 8}, true))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		n := len(packet)
		Unfragment(packet)
		CutLength(packet)
		_ = FillChecksum(packet) // most make no sense
		if len(packet) != n {
			t.Errorf("%d bytes became %d", n, len(packet))
		}
	})
}

// TestStay: a packet of either family that nobody forwards is else as it was.
func TestStay(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:1000", "192.0.2.2:80"}, {"[2001:db8::1]:1000", "[2001:db8::2]:80"}} {
		want := Segment{Src: netip.MustParseAddrPort(ends[0]), Dst: netip.MustParseAddrPort(ends[1]), Seq: 7, Flags: SYN, Window: 100}
		p, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		Stay(p)
		var got Segment
		if err := new(Decoder).Decode(p, ChecksumVerify, &got); err != nil || got.Src != want.Src || got.Seq != want.Seq {
			t.Errorf("%v, %v", got, err)
		}
		limit := p[7]
		if p[0]>>4 == 4 {
			limit = p[8]
			if sum := fold(sum(p[:ipv4Header], 0)); sum != 0xffff {
				t.Errorf("the header's checksum is wrong: %#x", sum)
			}
		}
		if limit != 1 {
			t.Errorf("hop limit %d", limit)
		}
	}
}
