package segment

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawSegment draws any segment that Append can encode.
func drawSegment(t *rapid.T) Segment {
	u8, u16, u32 := rapid.Uint8(), rapid.Uint16(), rapid.Uint32()
	size := 4
	if rapid.Bool().Draw(t, "v6") {
		size = 16
	}
	addr := func(label string) netip.AddrPort {
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(u8, size, size).Filter(func(b []byte) bool {
			a, _ := netip.AddrFromSlice(b)
			return !a.Is4In6()
		}).Draw(t, label))
		return netip.AddrPortFrom(a, u16.Draw(t, label+" port"))
	}
	s := Segment{
		Src: addr("src"), Dst: addr("dst"),
		Seq: u32.Draw(t, "seq"), Ack: u32.Draw(t, "ack"),
		Flags:  Flags(rapid.Uint16Range(0, 1<<9-1).Draw(t, "flags")),
		Window: u16.Draw(t, "window"), Urgent: u16.Draw(t, "urgent"), TOS: u8.Draw(t, "tos"),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "payload"),
	}
	o := &s.Options
	o.MSS = u16.Draw(t, "mss")
	o.SACKPermitted = rapid.Bool().Draw(t, "sackok")
	if o.HasWScale = rapid.Bool().Draw(t, "has ws"); o.HasWScale {
		o.WScale = rapid.Uint8Range(0, maxWScale).Draw(t, "ws")
	}
	if o.HasTS = rapid.Bool().Draw(t, "has ts"); o.HasTS {
		o.TSVal, o.TSEcr = u32.Draw(t, "tsval"), u32.Draw(t, "tsecr")
	}
	o.NSACK = rapid.IntRange(0, 4).Draw(t, "nsack")
	for i := range o.NSACK {
		o.SACK[i] = Block{u32.Draw(t, "left"), u32.Draw(t, "right")}
	}
	for o.NSACK > 0 {
		if _, err := o.Append(nil); err == nil {
			break
		}
		o.NSACK--
		o.SACK[o.NSACK] = Block{}
	}
	return s
}

func TestRoundTripProperty(t *testing.T) {
	var d Decoder
	rapid.Check(t, func(t *rapid.T) {
		want := drawSegment(t)
		packet, err := want.Append(nil)
		if err != nil {
			t.Fatalf("Append: %v", err)
		}
		headers := len(packet) - len(want.Payload)
		if headers < len(packet) {
			var got Segment
			if err := d.DecodeSplit(packet[:headers:headers], bytes.Clone(packet[headers:]), ChecksumVerify, &got); err != nil {
				t.Fatalf("DecodeSplit: %v", err)
			}
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Fatalf("split (-want +got)\n%s", diff)
			}
		}
		packet = append(packet, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "link padding")...)
		var got Segment
		if err := d.Decode(packet, ChecksumVerify, &got); err != nil {
			t.Fatalf("Decode: %v", err)
		}
		if diff := cmp.Diff(want, got, compare); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// TestSumProperty compares the wide sum with the two-byte loop of RFC 1071.
func TestSumProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		var slow uint64
		for i := 0; i < len(b); i += 2 {
			slow += uint64(b[i]) << 8
			if i+1 < len(b) {
				slow += uint64(b[i+1])
			}
		}
		for slow > 0xffff {
			slow = slow>>16 + slow&0xffff
		}
		if got := fold(sum(b, 0)); got != uint16(slow) {
			t.Fatalf("sum %#x, want %#x", got, slow)
		}
	})
}

// realPackets returns the captured packets of testdata/packets.txt: one a
// line, a name and the bytes in hex.
func realPackets(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/packets.txt")
	if err != nil {
		t.Fatal(err)
	}
	packets := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if packets[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return packets
}

// TestRealPackets: what Linux sends is decoded, and encoded again byte for
// byte, but for the fields that a segment does not keep.
func TestRealPackets(t *testing.T) {
	var d Decoder
	for name, packet := range realPackets(t) {
		t.Run(name, func(t *testing.T) {
			// Loopback packets carry partial checksums.
			var s Segment
			if err := d.Decode(packet, ChecksumTrusted, &s); err != nil {
				t.Fatal(err)
			}
			got := mustAppend(t, &s)
			mask := func(p []byte) []byte {
				p = bytes.Clone(p)
				if p[0]>>4 == 4 {
					clear(p[4:6])   // identification
					clear(p[10:12]) // the checksum over it
					clear(p[36:38])
				} else {
					clear(p[2:4]) // flow label, but for its top bits
					p[1] &= 0xf0
					clear(p[56:58])
				}
				return p
			}
			if diff := cmp.Diff(mask(packet), mask(got)); diff != "" {
				t.Errorf("%v (-want +got)\n%s", &s, diff)
			}
		})
	}
}

// FuzzDecode: no packet makes Decode panic; DecodeSplit says the same of it,
// where it does not ask for the whole; and what Decode accepts survives
// being encoded and decoded again.
func FuzzDecode(f *testing.F) {
	for _, packet := range realPackets(f) {
		f.Add(packet, false)
		f.Add(packet, true)
	}
	f.Fuzz(func(t *testing.T, packet []byte, trusted bool) {
		c := ChecksumVerify
		if trusted {
			c = ChecksumTrusted
		}
		var d Decoder
		var s Segment
		whole := d.Decode(packet, c, &s)
		for cut := range min(len(packet), 200) {
			var split Segment
			if d.DecodeSplit(packet[:cut], packet[cut:], c, &split) != nil {
				continue
			}
			if whole != nil {
				t.Fatalf("split after %d bytes the packet is accepted, whole: %v", cut, whole)
			}
			if diff := cmp.Diff(s, split, compare); diff != "" {
				t.Fatalf("split after %d bytes (-whole +split)\n%s", cut, diff)
			}
		}
		if whole != nil {
			return
		}
		_ = s.String()
		again, err := s.Append(nil)
		if errors.Is(err, ErrOptions) || errors.Is(err, ErrTooLong) {
			return // options packed tighter than Linux does, or BIG TCP
		}
		if err != nil {
			t.Fatalf("Append(%v): %v", &s, err)
		}
		want := s
		want.Options.FastOpen, want.Options.MPTCP, want.Options.MD5, want.Options.AO = false, false, false, false
		var got Segment
		if err := d.Decode(again, ChecksumVerify, &got); err != nil {
			t.Fatalf("Decode(Append(%v)): %v", &s, err)
		}
		if diff := cmp.Diff(want, got, compare); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// FuzzParseOptions: any option bytes, as another process may have stored them,
// decode as they do within a packet.
func FuzzParseOptions(f *testing.F) {
	for _, packet := range realPackets(f) {
		var d Decoder
		if d.Decode(packet, ChecksumTrusted, new(Segment)) == nil {
			f.Add(d.RawOptions())
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want := ParseOptions(raw)
		if len(raw) > maxOptions || len(raw)%4 != 0 {
			return
		}
		packet := make([]byte, 40+len(raw))
		packet[0], packet[9] = 0x45, protoTCP
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		packet[32] = byte((20 + len(raw)) / 4 << 4)
		copy(packet[40:], raw)
		refresh4(packet)
		var s Segment
		if err := new(Decoder).Decode(packet, ChecksumTrusted, &s); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.Options); diff != "" {
			t.Fatalf("ParseOptions and Decode differ (-parse +decode)\n%s", diff)
		}
	})
}
