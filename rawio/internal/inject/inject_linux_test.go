package inject

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig knows no device: packets go by the routes.
var testConfig = Config{Device: func(int) (Device, bool) { return Device{}, false }}

func openIn(t testing.TB, ns *netlab.Namespace) *Injector {
	t.Helper()
	var i *Injector
	if err := ns.Run(func() (err error) {
		i, err = Open(testConfig)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// openTap watches what arrives in a namespace.
func openTap(t testing.TB, ns *netlab.Namespace) *tap.Tap {
	t.Helper()
	var w *tap.Tap
	if err := ns.Run(func() (err error) {
		w, err = tap.Open(tap.Config{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// await returns the first TCP segment that match accepts.
func await(t testing.TB, w *tap.Tap, match func(*segment.Segment) bool) (segment.Segment, tap.Packet) {
	t.Helper()
	var b tap.Batch
	for {
		if _, err := w.ReadBatch(&b); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Packets {
			var s segment.Segment
			if new(segment.Decoder).Decode(p.Data, p.Checksum, &s) == nil && match(&s) {
				return s, p
			}
		}
	}
}

func packet(t testing.TB, s segment.Segment) []byte {
	t.Helper()
	p, err := s.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestToNetwork: a packet from the server's address leaves for the client
// unchanged.
func TestToNetwork(t *testing.T) {
	lab := netlabtest.New(t, nil)
	i := openIn(t, lab.Server)
	for _, tt := range []struct{ src, dst netip.Addr }{
		{netlab.Server4, netlab.Client4}, {netlab.Server6, netlab.Client6},
	} {
		w := openTap(t, lab.Client)
		want := packet(t, segment.Segment{
			Src: netip.AddrPortFrom(tt.src, 7000), Dst: netip.AddrPortFrom(tt.dst, 4000),
			Seq: 5, Ack: 6, Flags: segment.ACK | segment.PSH, TOS: 0xb8, Payload: []byte("hello"),
		})
		if _, err := i.ToClient([]Packet{{Data: want}}); err != nil {
			t.Fatal(err)
		}
		_, p := await(t, w, func(s *segment.Segment) bool { return string(s.Payload) == "hello" })
		got := bytes.Clone(p.Data)
		if tt.src.Is4() {
			for _, b := range [][]byte{want, got} {
				clear(b[4:6])   // identification: the kernel chooses one
				clear(b[10:12]) // the checksum over it
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v arrived as\n%x, sent\n%x", tt.dst, got, want)
		}
	}
}

// TestIntoLocalStack: a spoofed SYN is answered by the server's stack, even
// where reverse-path filtering is strict and the client is on loopback.
func TestIntoLocalStack(t *testing.T) {
	lab := netlabtest.New(t, nil)
	if err := lab.Server.Sysctl("ipv4/conf/all/rp_filter", "1"); err != nil {
		t.Fatal(err)
	}
	loop4, loop6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	tests := []struct {
		name           string
		client, server netip.Addr
		answered       *netlab.Namespace
	}{
		{"IPv4", netlab.Client4, netlab.Server4, lab.Client},
		{"IPv6", netlab.Client6, netlab.Server6, lab.Client},
		{"loopback IPv4", loop4, loop4, lab.Server},
		{"loopback IPv6", loop6, loop6, lab.Server},
		{"own address", netlab.Server4, netlab.Server4, lab.Server},
	}
	i := openIn(t, lab.Server)
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := netip.AddrPortFrom(tt.server, uint16(7000+n))
			ln, err := lab.Server.Listen("tcp", server.String())
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			arrives, answers := openTap(t, lab.Server), openTap(t, tt.answered)
			syn := segment.Segment{
				Src: netip.AddrPortFrom(tt.client, 4000), Dst: server,
				Seq: 1<<32 - 1, Flags: segment.SYN, Window: 1000,
				Options: segment.Options{MSS: 1400, HasWScale: true, WScale: 3, SACKPermitted: true},
			}
			if err := i.ToServer(Packet{Data: packet(t, syn)}); err != nil {
				t.Fatal(err)
			}
			s, _ := await(t, arrives, func(s *segment.Segment) bool { return s.Dst == server })
			if s.Flags != segment.SYN || s.Src != syn.Src {
				t.Errorf("what arrives is %v", &s)
			}
			s, _ = await(t, answers, func(s *segment.Segment) bool { return s.Src == server })
			if !s.Flags.Has(segment.SYN|segment.ACK) || s.Ack != 0 || s.Dst != syn.Src {
				t.Errorf("the stack answered %v", &s)
			}
		})
	}
}

func TestBatch(t *testing.T) {
	lab := netlabtest.New(t, nil)
	i := openIn(t, lab.Server)
	w := openTap(t, lab.Server)
	// Runs of both families, one longer than a system call takes.
	var packets []Packet
	for n := range 3 * maxBatch {
		s := segment.Segment{
			Src: netip.AddrPortFrom(netlab.Client4, 4000), Dst: netip.AddrPortFrom(netlab.Server4, 7000),
			Flags: segment.RST, Payload: fmt.Append(nil, n),
		}
		if n >= 2*maxBatch || n%50 == 0 {
			s.Src, s.Dst = netip.AddrPortFrom(netlab.Client6, 4000), netip.AddrPortFrom(netlab.Server6, 7000)
		}
		packets = append(packets, Packet{Data: packet(t, s)})
	}
	// What does not come is lost for good: then the tap is closed.
	late := time.AfterFunc(20*time.Second, func() { w.Close() })
	defer late.Stop()
	// Within a family the order is kept.
	next := map[bool]int{}
	var b tap.Batch
	for chunk := range slices.Chunk(packets, maxBatch+maxBatch/2) {
		if n, err := i.ToClient(chunk); n != len(chunk) || err != nil {
			t.Fatalf("ToClient = %d, %v", n, err)
		}
		for seen := 0; seen < len(chunk); {
			if _, err := w.ReadBatch(&b); err != nil {
				t.Fatalf("%d of %d packets came: %v", seen, len(chunk), err)
			}
			for _, p := range b.Packets {
				var s segment.Segment
				if err := new(segment.Decoder).Decode(p.Data, p.Checksum, &s); err != nil {
					t.Fatal(err)
				}
				n, err := strconv.Atoi(string(s.Payload))
				if v6 := s.Src.Addr().Is6(); err != nil || n < next[v6] {
					t.Fatalf("%v after number %d", &s, next[v6])
				} else {
					next[v6] = n
				}
				seen++
			}
		}
	}
	if n, err := i.ToClient(nil); n != 0 || err != nil {
		t.Errorf("ToClient(nil) = %d, %v", n, err)
	}
}

func TestErrors(t *testing.T) {
	lab := netlabtest.New(t, nil)
	i := openIn(t, lab.Server)
	server := netip.AddrPortFrom(netlab.Server4, 7000)
	to := func(dst netip.Addr, size int) []byte {
		s := segment.Segment{Src: server, Dst: netip.AddrPortFrom(dst, 4000), Flags: segment.ACK, Payload: make([]byte, size)}
		if dst.Is6() {
			s.Src = netip.AddrPortFrom(netlab.Server6, 7000)
		}
		return packet(t, s)
	}
	good := to(netlab.Client4, 1)
	tests := []struct {
		name   string
		packet []byte
		want   []error
	}{
		{"empty", nil, []error{ErrPacket}},
		{"cut short", good[:len(good)-1], []error{ErrPacket}},
		{"padded", append(bytes.Clone(good), 0), []error{ErrPacket}},
		{"above the MTU", to(netlab.Client4, 1461), []error{ErrTooBig, unix.EMSGSIZE}},
		{"above the MTU, IPv6", to(netlab.Client6, 1441), []error{ErrTooBig, unix.EMSGSIZE}},
		{"no route", to(netip.MustParseAddr("192.0.2.1"), 1), []error{ErrUnreachable, unix.ENETUNREACH}},
		{"no route, IPv6", to(netip.MustParseAddr("2001:db8::1"), 1), []error{ErrUnreachable, unix.ENETUNREACH}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := i.ToClient([]Packet{{Data: good}, {Data: tt.packet}, {Data: good}})
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			if n != 1 {
				t.Errorf("%d packets sent before the error, want 1", n)
			}
		})
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if err := i.ToServer(Packet{Data: good}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ToServer after Close: %v, want net.ErrClosed", err)
	}
}

func BenchmarkSend(b *testing.B) {
	lab := netlabtest.New(b, nil)
	i := openIn(b, lab.Server)
	s := segment.Segment{
		Src: netip.AddrPortFrom(netlab.Client4, 4000), Dst: netip.AddrPortFrom(netlab.Server4, 7000),
		Flags: segment.RST, Payload: make([]byte, 1000),
	}
	one := Packet{Data: packet(b, s)}
	var many []Packet
	for range maxBatch {
		many = append(many, one)
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := i.ToServer(one); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("batch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := i.ToClient(many); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/packet")
	})
}

// TestStays: what the routes would have leave the host is not sent to the server by them.
func TestStays(t *testing.T) {
	lab := netlabtest.New(t, nil)
	config := testConfig
	config.Stays = func(to netip.Addr, mark uint32) bool { return to == netlab.Server4 }
	var i *Injector
	if err := lab.Server.Run(func() (err error) {
		i, err = Open(config)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	syn := segment.Segment{Src: netip.AddrPortFrom(netlab.Client4, 4000), Flags: segment.SYN, Window: 100}
	for to, want := range map[netip.Addr]error{netlab.Server4: nil, netlab.Client4: ErrMisrouted} {
		syn.Dst = netip.AddrPortFrom(to, 7000)
		if err := i.ToServer(Packet{Data: packet(t, syn)}); !errors.Is(err, want) {
			t.Errorf("to %v: %v, want %v", to, err, want)
		}
	}
}
