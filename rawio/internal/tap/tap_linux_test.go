package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
)

const servicePort = 7000

func TestMain(m *testing.M) {
	if n := os.Getenv(sendEnv); n != "" {
		if err := sendSlowly(n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestSeesWhatArrives(t *testing.T) {
	lab := netlabtest.New(t, nil)
	tests := []struct {
		name string
		from *netlab.Namespace
		link string
		addr netip.Addr
	}{
		{"IPv4", lab.Client, netlab.ServerLink, netlab.Server4},
		{"IPv6", lab.Client, netlab.ServerLink, netlab.Server6},
		{"loopback IPv4", lab.Server, "lo", netip.MustParseAddr("127.0.0.1")},
		{"loopback IPv6", lab.Server, "lo", netip.IPv6Loopback()},
		{"own address over loopback", lab.Server, "lo", netlab.Server4},
	}
	data := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(data)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := netip.AddrPortFrom(tt.addr, servicePort)
			tap := openIn(t, lab.Server, Config{Filter: portFilter(t)})
			start := time.Now()
			// Another port first: it must not be seen.
			transfer(t, tt.from, lab.Server, netip.AddrPortFrom(tt.addr, servicePort+1), data[:100])
			client := transfer(t, tt.from, lab.Server, server, data)
			var index int
			if err := lab.Server.Run(func() error {
				link, err := netlink.LinkByName(tt.link)
				if err == nil {
					index = link.Attrs().Index
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			saw := watch(t, tap, segment.Flow{Client: client, Server: server}, func(p *Packet) {
				if p.IfIndex != index {
					t.Errorf("interface %d, want %d", p.IfIndex, index)
				}
				if now := time.Now(); p.Time < start.UnixNano() || p.Time > now.UnixNano() {
					t.Errorf("time %v is not within %v and %v", time.Unix(0, p.Time), start, now)
				}
			})
			if !saw.SYN || !bytes.Equal(saw.Stream, data) {
				t.Errorf("SYN %v, %d bytes of %d", saw.SYN, len(saw.Stream), len(data))
			}
			if saw.Largest <= 1500 {
				t.Errorf("largest packet %d: no super-packet was seen", saw.Largest)
			}
			if drops, err := tap.Drops(); drops != 0 || err != nil {
				t.Errorf("Drops = %d, %v", drops, err)
			}
		})
	}
}

func TestCloseUnblocksRead(t *testing.T) {
	lab := netlabtest.New(t, nil)
	tap := openIn(t, lab.Server, Config{Filter: portFilter(t)})
	done := make(chan error)
	go func() {
		_, err := tap.ReadBatch(NewBatch(1))
		done <- err
	}()
	if err := tap.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch: %v, want net.ErrClosed", err)
	}
	if _, err := tap.ReadBatch(new(Batch)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch after Close: %v, want net.ErrClosed", err)
	}
	if _, err := tap.Drops(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Drops after Close: %v, want net.ErrClosed", err)
	}
}

func TestDropsAreCounted(t *testing.T) {
	lab := netlabtest.New(t, nil)
	tap := openIn(t, lab.Server, Config{Filter: portFilter(t), ReceiveBuffer: 8 << 10})
	server := netip.AddrPortFrom(netlab.Server4, servicePort)
	transfer(t, lab.Client, lab.Server, server, make([]byte, 1<<20))
	first, err := tap.Drops()
	if err != nil || first == 0 {
		t.Fatalf("Drops = %d, %v after 1 MiB into 8 KiB", first, err)
	}
	if again, err := tap.Drops(); again != first || err != nil {
		t.Errorf("Drops = %d, %v, want %d again", again, err, first)
	}
	transfer(t, lab.Client, lab.Server, server, make([]byte, 1<<20))
	if later, err := tap.Drops(); later <= first || err != nil {
		t.Errorf("Drops = %d, %v, want more than %d", later, err, first)
	}
}

// sendFrame sends an Ethernet frame out of the client's interface. A nil
// destination is the server's address.
func sendFrame(t testing.TB, lab *netlab.Lab, dst net.HardwareAddr, packet []byte) {
	t.Helper()
	if dst == nil {
		if err := lab.Server.Run(func() error {
			link, err := netlink.LinkByName(netlab.ServerLink)
			if err == nil {
				dst = link.Attrs().HardwareAddr
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Client.Run(func() error {
		link, err := netlink.LinkByName(netlab.ClientLink)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		frame := append([]byte(nil), dst...)
		frame = append(frame, link.Attrs().HardwareAddr...)
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
		frame = append(frame, packet...)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	}); err != nil {
		t.Fatal(err)
	}
}

func testPacket(t testing.TB, payload string) []byte {
	t.Helper()
	s := segment.Segment{
		Src:   netip.AddrPortFrom(netlab.Client4, 4000),
		Dst:   netip.AddrPortFrom(netlab.Server4, servicePort),
		Flags: segment.ACK, Payload: []byte(payload),
	}
	p, err := s.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestForeignAndBrokenPackets: a frame for another host is not seen, and one
// with a wrong checksum is left for the decoder to refuse.
func TestForeignAndBrokenPackets(t *testing.T) {
	lab := netlabtest.New(t, nil)
	if err := lab.Server.Run(func() error {
		link, err := netlink.LinkByName(netlab.ServerLink)
		if err != nil {
			return err
		}
		return netlink.SetPromiscOn(link)
	}); err != nil {
		t.Fatal(err)
	}
	tap := openIn(t, lab.Server, Config{Filter: portFilter(t)})
	broken := testPacket(t, "broken")
	broken[len(broken)-1]++
	sendFrame(t, lab, net.HardwareAddr{2, 0, 0, 0, 0, 1}, testPacket(t, "foreign"))
	sendFrame(t, lab, nil, broken)
	sendFrame(t, lab, nil, append(testPacket(t, "good"), "link padding"...))

	var got []string
	var b Batch
	for len(got) < 2 {
		if _, err := tap.ReadBatch(&b); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Packets {
			if p.Checksum != segment.ChecksumVerify {
				t.Error("the kernel cannot have verified this packet")
			}
			var s segment.Segment
			err := new(segment.Decoder).Decode(p.Data, p.Checksum, &s)
			if err != nil {
				got = append(got, err.Error())
			} else {
				got = append(got, string(s.Payload))
			}
		}
	}
	if diff := cmp.Diff([]string{segment.ErrChecksum.Error(), "good"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestBatchLimit: a batch takes no more than it has room for, and nothing is
// lost between two batches.
func TestBatchLimit(t *testing.T) {
	lab := netlabtest.New(t, nil)
	tap := openIn(t, lab.Server, Config{Filter: portFilter(t)})
	const packets, room = 10, 4
	for i := range packets {
		sendFrame(t, lab, nil, testPacket(t, strconv.Itoa(i)))
	}
	b := NewBatch(room)
	for next := 0; next < packets; {
		n, err := tap.ReadBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		if n > room {
			t.Fatalf("%d packets in a batch of %d", n, room)
		}
		for _, p := range b.Packets {
			if got := string(p.Data[40:]); got != strconv.Itoa(next) {
				t.Fatalf("packet %q, want %d", got, next)
			}
			next++
		}
	}
}

// TestReadSplit: the payload is where it was wanted, padding with it; a packet
// that is shorter than expected is whole, and one that was split elsewhere is
// whole again once joined.
func TestReadSplit(t *testing.T) {
	lab := netlabtest.New(t, nil)
	tap := openIn(t, lab.Server, Config{Filter: portFilter(t)})
	rest := make([]byte, MaxPacket)
	b := NewBatch(1)
	for _, test := range []struct {
		payload string
		header  int
	}{
		{"behind the header", 40},
		{"too early", 30},
		{"too late", 45},
		{"short", 60},
	} {
		packet := testPacket(t, test.payload)
		sendFrame(t, lab, nil, packet)
		if err := tap.Wait(); err != nil {
			t.Fatal(err)
		}
		if n, err := tap.TryReadSplit(b, test.header, rest); n != 1 || err != nil {
			t.Fatalf("TryReadSplit = %d, %v", n, err)
		}
		p := b.Packets[0]
		if cut := min(test.header, len(packet)); !bytes.Equal(p.Data, packet[:cut]) || !bytes.Equal(p.Rest, packet[cut:]) {
			t.Errorf("%s: %q and %q", test.payload, p.Data, p.Rest)
		}
		if len(p.Rest) > 0 && &p.Rest[0] != &rest[0] {
			t.Errorf("%s: the rest is elsewhere", test.payload)
		}
		if p.Join(); !bytes.Equal(p.Data, packet) || p.Rest != nil {
			t.Errorf("%s: joined: %q", test.payload, p.Data)
		}
	}
	if n, err := tap.TryReadSplit(b, 40, rest); n != 0 || err != nil {
		t.Errorf("TryReadSplit = %d, %v with nothing there", n, err)
	}
	sendFrame(t, lab, nil, testPacket(t, "as ever"))
	if _, err := tap.ReadBatch(b); err != nil || string(b.Packets[0].Data[40:]) != "as ever" {
		t.Errorf("after a split: %v, %v", b.Packets, err)
	}
}
