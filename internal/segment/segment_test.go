package segment

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	client4 = netip.MustParseAddrPort("10.0.0.2:4000")
	server4 = netip.MustParseAddrPort("10.0.0.1:7000")
	client6 = netip.MustParseAddrPort("[2001:db8::2]:4000")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:7000")
)

// compare makes go-cmp look into netip values and take no payload for an
// empty one.
var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func mustAppend(t testing.TB, s *Segment) []byte {
	t.Helper()
	packet, err := s.Append(nil)
	if err != nil {
		t.Fatalf("Append(%v): %v", s, err)
	}
	return packet
}

func TestSegmentLength(t *testing.T) {
	tests := []struct {
		name    string
		seg     Segment
		len     uint32
		wantEnd uint32
	}{
		{"pure ACK", Segment{Seq: 7, Flags: ACK}, 0, 7},
		{"data", Segment{Seq: 7, Flags: ACK, Payload: []byte("abc")}, 3, 10},
		{"SYN", Segment{Seq: 7, Flags: SYN}, 1, 8},
		{"FIN with data", Segment{Seq: 7, Flags: FIN | ACK, Payload: []byte("abc")}, 4, 11},
		{"wraps", Segment{Seq: 1<<32 - 2, Flags: FIN | ACK, Payload: []byte("abc")}, 4, 2},
	}
	for _, tt := range tests {
		if got := tt.seg.Len(); got != tt.len {
			t.Errorf("%s: Len = %d, want %d", tt.name, got, tt.len)
		}
		if got := tt.seg.End(); got != tt.wantEnd {
			t.Errorf("%s: End = %d, want %d", tt.name, got, tt.wantEnd)
		}
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		seg  Segment
		want string
	}{
		{
			Segment{Src: client4, Dst: server4, Seq: 1, Ack: 5, Flags: PSH | ACK, Window: 512, Payload: make([]byte, 10),
				Options: Options{HasTS: true, TSVal: 1, TSEcr: 2, NSACK: 1, SACK: [4]Block{{5, 9}}}},
			"10.0.0.2:4000 > 10.0.0.1:7000 [PA] seq 1:11 ack 5 win 512 <ts 1 2, sack 5:9>",
		},
		{
			Segment{Src: client6, Dst: server6, Seq: 9, Flags: SYN, Window: 65535,
				Options: Options{MSS: 1440, SACKPermitted: true, HasWScale: true, WScale: 7, FastOpen: true}},
			"[2001:db8::2]:4000 > [2001:db8::1]:7000 [S] seq 9:10 win 65535 <mss 1440, sackok, ws 7, tfo>",
		},
		{
			Segment{Src: server4, Dst: client4, Seq: 3, Flags: RST},
			"10.0.0.1:7000 > 10.0.0.2:4000 [R] seq 3 win 0",
		},
		{
			Segment{Src: server4, Dst: client4, Seq: 3, Flags: 0},
			"10.0.0.1:7000 > 10.0.0.2:4000 [none] seq 3 win 0",
		},
	}
	for _, tt := range tests {
		if got := tt.seg.String(); got != tt.want {
			t.Errorf("String:\n got %s\nwant %s", got, tt.want)
		}
	}
	if got, want := (FIN | SYN | RST | PSH | ACK | URG | ECE | CWR | AE).String(), "FSRPAUEWe"; got != want {
		t.Errorf("all flags: %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	tests := []Segment{
		{Src: client4, Dst: server4, Seq: 1<<32 - 1, Flags: SYN | ECE | CWR, Window: 64240,
			Options: Options{MSS: 1460, SACKPermitted: true, HasTS: true, TSVal: 77, HasWScale: true, WScale: 7}},
		{Src: server6, Dst: client6, Seq: 1, Ack: 2, Flags: SYN | ACK, Window: 65535, TOS: 0xb8,
			Options: Options{MSS: 1440, HasWScale: true}},
		{Src: client6, Dst: server6, Seq: 1, Ack: 2, Flags: PSH | ACK | AE | URG, Urgent: 3, Payload: []byte("odd")},
		{Src: server4, Dst: client4, Seq: 1, Ack: 2, Flags: ACK,
			Options: Options{HasTS: true, TSVal: 1, TSEcr: 2, NSACK: 3, SACK: [4]Block{{10, 20}, {30, 40}, {1<<32 - 5, 5}}}},
		{Src: server4, Dst: client4, Flags: ACK, Options: Options{NSACK: 4, SACK: [4]Block{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}},
		{Src: client4, Dst: server4, Flags: ACK, Payload: bytes.Repeat([]byte("x"), 65535-40)},
		{Src: client6, Dst: server6, Flags: ACK, Payload: bytes.Repeat([]byte("y"), 65535-20)},
	}
	var d Decoder
	for _, want := range tests {
		packet := mustAppend(t, &want)
		got := Segment{Options: Options{AO: true, NSACK: 2}, Payload: []byte("stale")}
		if err := d.Decode(packet, ChecksumVerify, &got); err != nil {
			t.Errorf("Decode(Append(%v)): %v", &want, err)
			continue
		}
		if diff := cmp.Diff(want, got, compare); diff != "" {
			t.Errorf("%v: (-want +got)\n%s", &want, diff)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	ok := Segment{Src: client4, Dst: server4, Flags: ACK}
	tests := []struct {
		name string
		edit func(*Segment)
		want error
	}{
		{"no address", func(s *Segment) { s.Src = netip.AddrPort{} }, ErrAddress},
		{"mixed families", func(s *Segment) { s.Src = client6 }, ErrAddress},
		{"mapped", func(s *Segment) {
			s.Src = netip.MustParseAddrPort("[::ffff:1.2.3.4]:1")
			s.Dst = server6
		}, ErrAddress},
		{"zone", func(s *Segment) { s.Src, s.Dst = netip.MustParseAddrPort("[fe80::1%eth0]:1"), server6 }, ErrAddress},
		{"options too long", func(s *Segment) {
			s.Options = Options{MSS: 1, HasTS: true, NSACK: 4}
		}, ErrOptions},
		{"window scale", func(s *Segment) { s.Options = Options{HasWScale: true, WScale: 15} }, ErrOptions},
		{"SACK count", func(s *Segment) { s.Options = Options{NSACK: 5} }, ErrOptions},
		{"IPv4 length", func(s *Segment) { s.Payload = make([]byte, 65535-39) }, ErrTooLong},
		{"IPv6 length", func(s *Segment) { s.Src, s.Dst, s.Payload = client6, server6, make([]byte, 65535-19) }, ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			s := ok
			tt.edit(&s)
			buf := []byte("kept")
			got, err := s.Append(buf)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if string(got) != "kept" {
				t.Errorf("buffer changed to %q", got)
			}
		})
	}
}

func TestAppendKeepsPrefix(t *testing.T) {
	s := Segment{Src: client4, Dst: server4, Flags: ACK, Payload: []byte("hello")}
	got, err := s.Append([]byte("prefix"))
	if err != nil || !bytes.HasPrefix(got, []byte("prefix")) {
		t.Fatalf("Append: %q, %v", got, err)
	}
	var back Segment
	if err := new(Decoder).Decode(got[len("prefix"):], ChecksumVerify, &back); err != nil {
		t.Fatal(err)
	}
	if string(back.Payload) != "hello" {
		t.Errorf("payload %q", back.Payload)
	}
}
