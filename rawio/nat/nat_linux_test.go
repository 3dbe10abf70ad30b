package nat

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/netlab"
	"github.com/ftnet/ftnet/internal/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/testenv"
	"github.com/ftnet/ftnet/rawio/segment"
)

// attribute encodes one.
func attribute(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(body)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), body...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func join(list ...[]byte) (out []byte) {
	for _, b := range list {
		out = append(out, b...)
	}
	return out
}

// message is an answer of the kernel: 192.0.2.1:1000 has dialled 192.0.2.2:80.
func message(more ...byte) []byte {
	addresses := attribute(1|unix.NLA_F_NESTED, join(attribute(1, 192, 0, 2, 1), attribute(2, 192, 0, 2, 2))...)
	ports := attribute(2|unix.NLA_F_NESTED, join(attribute(1, 6), attribute(2, 0x03, 0xe8), attribute(3, 0, 80))...)
	return join([]byte{unix.AF_INET, 0, 0, 0}, attribute(1|unix.NLA_F_NESTED, join(addresses, ports)...), more)
}

func TestParse(t *testing.T) {
	want := Entry{Client: netip.MustParseAddrPort("192.0.2.1:1000"), Server: netip.MustParseAddrPort("192.0.2.2:80")}
	if got, err := parse(message()); got != want || err != nil {
		t.Error(got, err)
	}
	want.SYNProxy = true
	if got, err := parse(message(attribute(ctaSYNProxy | unix.NLA_F_NESTED)...)); got != want || err != nil {
		t.Error(got, err)
	}
	whole := message()
	for n := range whole {
		if got, err := parse(whole[:n]); !errors.Is(err, errAnswer) {
			t.Errorf("of %d bytes: %v, %v", n, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message())
	f.Add(message(attribute(ctaSYNProxy, 1, 2, 3)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parse(b); err == nil && (!e.Client.IsValid() || !e.Server.IsValid()) {
			t.Errorf("%v without an error", e)
		}
	})
}

// TestLookup: a redirected connection, one that is not, and one that is not there.
func TestLookup(t *testing.T) {
	testenv.RequireRoot(t)
	lab := netlabtest.New(t, &netlab.Config{})
	cmd := lab.Server.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet t {\nchain p {\ntype nat hook prerouting priority dstnat\ntcp dport 80 redirect to :7000\n}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	ln, err := lab.Server.Listen("tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	lookup := func(f segment.Flow) (e Entry, err error) {
		if nerr := lab.Server.Run(func() error {
			e, err = Lookup(f)
			return nil
		}); nerr != nil {
			t.Fatal(nerr)
		}
		return e, err
	}
	for _, dialled := range []string{"10.77.0.2:7000", "10.77.0.2:80", "[fd77::2]:7000", "[fd77::2]:80"} {
		c, err := lab.Client.Dial("tcp", dialled)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		to := netip.MustParseAddrPort(dialled)
		from := c.LocalAddr().(*net.TCPAddr).AddrPort()
		socket := segment.Flow{Client: from, Server: netip.AddrPortFrom(to.Addr(), 7000)}
		if got, err := lookup(socket); err != nil || got != (Entry{Client: from, Server: to}) {
			t.Errorf("%s: %v, %v", dialled, got, err)
		}
		socket.Client = netip.AddrPortFrom(from.Addr(), 1)
		if got, err := lookup(socket); !errors.Is(err, ErrNotFound) {
			t.Errorf("a connection that is not there: %v, %v", got, err)
		}
	}
}
