package segment

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refresh4 writes the IPv4 header checksum again after a test has edited the
// header.
func refresh4(p []byte) {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:int(p[0]&0xf)*4], 0)))
}

// withExtensions puts IPv6 extension headers between the fixed header and TCP.
// Each is of 8 bytes; fill is written from its third byte on.
func withExtensions(p []byte, kinds []byte, fill ...byte) []byte {
	out := slices.Clone(p[:40])
	binary.BigEndian.PutUint16(out[4:], uint16(len(p)-40+8*len(kinds)))
	next := append(slices.Clone(kinds), protoTCP)
	out[6] = next[0]
	for i := range kinds {
		ext := make([]byte, 8)
		ext[0] = next[i+1]
		copy(ext[2:], fill)
		out = append(out, ext...)
	}
	return append(out, p[40:]...)
}

// withOptions4 gives an IPv4 packet options: a multiple of four bytes.
func withOptions4(p []byte, options ...byte) []byte {
	p = slices.Insert(p, 20, options...)
	p[0] += byte(len(options) / 4)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	refresh4(p)
	return p
}

func TestDecodeErrors(t *testing.T) {
	base4 := Segment{Src: client4, Dst: server4, Seq: 1, Ack: 2, Flags: ACK, Payload: []byte("data")}
	base6 := base4
	base6.Src, base6.Dst = client6, server6
	const (
		hop, dest, routing, frag, udp = 0, 60, 43, 44, 17
		padN4                         = 1 // option PadN with 4 bytes fills an 8-byte header
	)
	tests := []struct {
		name string
		v6   bool
		edit func(p []byte) []byte
		want error
	}{
		{"empty", false, func([]byte) []byte { return nil }, ErrTruncated},
		{"version 5", false, func(p []byte) []byte { p[0] = 0x55; return p }, ErrNotTCP},
		{"v4 cut in header", false, func(p []byte) []byte { return p[:19] }, ErrTruncated},
		{"v4 cut in payload", false, func(p []byte) []byte { return p[:len(p)-1] }, ErrTruncated},
		{"v4 UDP", false, func(p []byte) []byte { p[9] = udp; refresh4(p); return p }, ErrNotTCP},
		{"v4 first fragment", false, func(p []byte) []byte { p[6] = 0x20; refresh4(p); return p }, ErrFragment},
		{"v4 last fragment", false, func(p []byte) []byte { p[7] = 1; refresh4(p); return p }, ErrFragment},
		{"v4 header length below 5", false, func(p []byte) []byte { p[0] = 0x44; refresh4(p); return p }, ErrMalformed},
		{"v4 total below header", false, func(p []byte) []byte { p[3] = 19; refresh4(p); return p }, ErrMalformed},
		{"v4 total zero", false, func(p []byte) []byte { p[2], p[3] = 0, 0; refresh4(p); return p }, ErrMalformed},
		{"v4 no room for TCP", false, func(p []byte) []byte { p[3] = 39; refresh4(p); return p }, ErrMalformed},
		{"v4 header checksum", false, func(p []byte) []byte { p[8]--; return p }, ErrChecksum},
		{"v4 TCP checksum", false, func(p []byte) []byte { p[len(p)-1]++; return p }, ErrChecksum},
		{"v4 data offset below 5", false, func(p []byte) []byte { p[32] = 0x40; return p }, ErrMalformed},
		{"v4 data offset beyond packet", false, func(p []byte) []byte { p[32] = 0xf0; return p }, ErrMalformed},
		{"v6 cut in header", true, func(p []byte) []byte { return p[:39] }, ErrTruncated},
		{"v6 cut in payload", true, func(p []byte) []byte { return p[:len(p)-1] }, ErrTruncated},
		{"v6 UDP", true, func(p []byte) []byte { p[6] = udp; return p }, ErrNotTCP},
		{"v6 TCP checksum", true, func(p []byte) []byte { p[39]++; return p }, ErrChecksum},
		{"v6 fragment header", true, func(p []byte) []byte { return withExtensions(p, []byte{frag}, 0, 1) }, ErrFragment},
		{"v6 last fragment", true, func(p []byte) []byte { return withExtensions(p, []byte{frag}, 0, 8) }, ErrFragment},
		{"v6 fragment after hop-by-hop", true, func(p []byte) []byte { return withExtensions(p, []byte{hop, frag}, padN4, 4) }, ErrFragment},
		{"v6 hop-by-hop not first", true, func(p []byte) []byte { return withExtensions(p, []byte{dest, hop}, padN4, 4) }, ErrMalformed},
		{"v6 too many extensions", true, func(p []byte) []byte {
			return withExtensions(p, []byte{dest, dest, dest, dest, dest, dest, dest, dest, dest}, padN4, 4)
		}, ErrNotTCP},
		{"v6 extension longer than packet", true, func(p []byte) []byte {
			p = withExtensions(p, []byte{dest}, padN4, 4)
			p[41] = 255
			return p
		}, ErrMalformed},
		{"v6 jumbo option beside a length", true, func(p []byte) []byte {
			return withExtensions(p, []byte{hop}, 0xc2, 4, 0, 1, 0, 0)
		}, ErrMalformed},
		{"v6 jumbo option that says little", true, func(p []byte) []byte {
			p = withExtensions(p, []byte{hop}, 0xc2, 4, 0, 0, 0, 24)
			p[4], p[5] = 0, 0
			return p
		}, ErrMalformed},
		{"v6 jumbo option longer than packet", true, func(p []byte) []byte {
			p = withExtensions(p, []byte{hop}, 0xc2, 4, 0, 1, 0, 0)
			p[4], p[5] = 0, 0
			return p
		}, ErrTruncated},
		{"v6 no length", true, func(p []byte) []byte { p[4], p[5] = 0, 0; return p }, ErrMalformed},
		{"v4 option of length 1", false, func(p []byte) []byte { return withOptions4(p, 0x94, 1, 0, 0) }, ErrMalformed},
		{"v4 option longer than header", false, func(p []byte) []byte { return withOptions4(p, 0x94, 5, 0, 0) }, ErrMalformed},
		{"v6 segments left", true, func(p []byte) []byte { return withExtensions(p, []byte{routing}, 0, 1) }, ErrMalformed},
		{"v6 mapped source", true, func(p []byte) []byte {
			copy(p[8:24], []byte{10: 0xff, 11: 0xff, 12: 10, 15: 2})
			return p
		}, ErrMalformed},
	}
	var d Decoder
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := base4
			if tt.v6 {
				s = base6
			}
			packet := tt.edit(mustAppend(t, &s))
			if err := d.Decode(packet, ChecksumVerify, new(Segment)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	want4 := Segment{Src: client4, Dst: server4, Seq: 1, Ack: 2, Flags: ACK, Window: 9, Payload: []byte("data")}
	want6 := want4
	want6.Src, want6.Dst = client6, server6
	padding := make([]byte, 6) // up to the shortest Ethernet frame
	for i := range padding {
		padding[i] = 0xee
	}
	const hop, dest, routing, frag = 0, 60, 43, 44
	tests := []struct {
		name string
		v6   bool
		c    Checksum
		edit func(p []byte) []byte
	}{
		{"v4 link padding", false, ChecksumVerify, func(p []byte) []byte { return append(p, padding...) }},
		{"v6 link padding", true, ChecksumVerify, func(p []byte) []byte { return append(p, padding...) }},
		{"v4 IP options", false, ChecksumVerify, func(p []byte) []byte { return withOptions4(p, 1, 1, 1, 0) }},
		{"v4 option without data", false, ChecksumVerify, func(p []byte) []byte { return withOptions4(p, 0x88, 2, 1, 0) }},
		{"v4 partial checksum", false, ChecksumTrusted, func(p []byte) []byte { p[36]++; return p }},
		{"v6 partial checksum", true, ChecksumTrusted, func(p []byte) []byte { p[56]++; return p }},
		{"v6 hop-by-hop with link padding", true, ChecksumVerify, func(p []byte) []byte {
			return append(withExtensions(p, []byte{hop}, 1, 4), padding...)
		}},
		{"v6 all extensions", true, ChecksumVerify, func(p []byte) []byte {
			return withExtensions(p, []byte{hop, dest, routing, dest, dest, dest, dest, dest})
		}},
		{"v6 a fragment that is the whole", true, ChecksumVerify, func(p []byte) []byte {
			return withExtensions(p, []byte{dest, frag}) // RFC 6946
		}},
		{"v6 hop-by-hop without a length", true, ChecksumVerify, func(p []byte) []byte {
			p = withExtensions(p, []byte{hop}, 1, 4)
			p[4], p[5] = 0, 0
			return p
		}},
	}
	var d Decoder
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := want4
			if tt.v6 {
				want = want6
			}
			packet := tt.edit(mustAppend(t, &want))
			var got Segment
			if err := d.Decode(packet, tt.c, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestDecodeBigTCP: receive offload may merge beyond 64 KiB; the IP length is
// then 0 (BIG TCP), and older kernels put a jumbo payload option in front.
func TestDecodeBigTCP(t *testing.T) {
	const extra = 100_000
	grow := func(p []byte) []byte { return append(p, make([]byte, extra)...) }
	tests := []struct {
		name   string
		packet func() []byte
	}{
		{"v4", func() []byte {
			p := grow(mustAppend(t, &Segment{Src: client4, Dst: server4, Flags: ACK}))
			p[2], p[3] = 0, 0
			refresh4(p)
			return p
		}},
		{"v6", func() []byte {
			p := grow(mustAppend(t, &Segment{Src: client6, Dst: server6, Flags: ACK}))
			p[4], p[5] = 0, 0
			return p
		}},
		{"v6 jumbo option", func() []byte {
			p := mustAppend(t, &Segment{Src: client6, Dst: server6, Flags: ACK})
			p = grow(withExtensions(p, []byte{0}, 0xc2, 4, 0, 1, 0x86, 0xbc))
			p[4], p[5] = 0, 0
			return p
		}},
		{"v6 jumbo option and link padding", func() []byte {
			p := mustAppend(t, &Segment{Src: client6, Dst: server6, Flags: ACK})
			p = grow(withExtensions(p, []byte{0}, 0xc2, 4, 0, 1, 0x86, 0xbc))
			p[4], p[5] = 0, 0
			return append(p, 1, 2, 3)
		}},
	}
	var d Decoder
	for _, tt := range tests {
		var s Segment
		if err := d.Decode(tt.packet(), ChecksumTrusted, &s); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if len(s.Payload) != extra {
			t.Errorf("%s: payload of %d bytes, want %d", tt.name, len(s.Payload), extra)
		}
	}
}

// setOptions replaces the TCP options of an IPv4 packet without IP options.
func setOptions(t *testing.T, raw ...byte) []byte {
	t.Helper()
	for len(raw)%4 != 0 {
		raw = append(raw, 0)
	}
	p := mustAppend(t, &Segment{Src: client4, Dst: server4, Flags: SYN, Payload: []byte("tail")})
	p = slices.Insert(p, 40, raw...)
	p[3] += byte(len(raw))
	p[32] += byte(len(raw) / 4 << 4)
	refresh4(p)
	return p
}

func TestDecodeOptions(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte
		want Options
	}{
		{"none", nil, Options{}},
		{"MSS", []byte{2, 4, 5, 0xb4}, Options{MSS: 1460}},
		{"MSS of wrong length", []byte{2, 3, 5, 4, 2}, Options{SACKPermitted: true}},
		{"MSS 0 is none", []byte{2, 4, 0, 0}, Options{}},
		{"window scale above 14", []byte{3, 3, 200}, Options{HasWScale: true, WScale: 14}},
		{"timestamps", []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, Options{HasTS: true, TSVal: 1, TSEcr: 2}},
		{"the later one wins", []byte{2, 4, 0, 1, 2, 4, 0, 2}, Options{MSS: 2}},
		{"nothing after the end", []byte{0, 2, 4, 5}, Options{}},
		{"length 0 ends the walk", []byte{2, 4, 0, 9, 8, 0, 4, 2}, Options{MSS: 9}},
		{"length 1 ends the walk", []byte{2, 4, 0, 9, 8, 1, 4, 2}, Options{MSS: 9}},
		{"length beyond the header", []byte{2, 4, 0, 9, 4, 40, 0, 0}, Options{MSS: 9}},
		{"kind without length", []byte{1, 1, 1, 8}, Options{}},
		{"SACK", []byte{5, 10, 0, 0, 0, 5, 0, 0, 0, 9}, Options{NSACK: 1, SACK: [4]Block{{5, 9}}}},
		{"SACK of broken length", []byte{5, 9, 0, 0, 0, 5, 0, 0, 0}, Options{}},
		{"SACK without blocks", []byte{5, 2}, Options{}},
		{"fast open", []byte{34, 2}, Options{FastOpen: true}},
		{"experimental fast open", []byte{254, 4, 0xf9, 0x89}, Options{FastOpen: true}},
		{"another experiment", []byte{254, 6, 0xe2, 0xd4, 0xc3, 0xd9}, Options{}},
		{"MPTCP", []byte{30, 4, 0, 1}, Options{MPTCP: true}},
		{"MD5", append([]byte{19, 18}, make([]byte, 16)...), Options{MD5: true}},
		{"AO", append([]byte{29, 16}, make([]byte, 14)...), Options{AO: true}},
	}
	var d Decoder
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Segment
			if err := d.Decode(setOptions(t, tt.raw...), ChecksumTrusted, &s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.Options); diff != "" {
				t.Errorf("Decode (-want +got)\n%s", diff)
			}
			if string(s.Payload) != "tail" {
				t.Errorf("payload %q", s.Payload)
			}
			if diff := cmp.Diff(tt.want, ParseOptions(d.RawOptions())); diff != "" {
				t.Errorf("ParseOptions(RawOptions) (-want +got)\n%s", diff)
			}
		})
	}
}
