package sockdiag

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLayout(t *testing.T) {
	if n := unsafe.Sizeof(request{}); n != 56 {
		t.Errorf("request has %d bytes, struct inet_diag_req_v2 56", n)
	}
	if n := unsafe.Sizeof(message{}); n != 72 {
		t.Errorf("message has %d bytes, struct inet_diag_msg 72", n)
	}
}

func TestState(t *testing.T) {
	for s, want := range map[State]string{Established: "ESTABLISHED", Closing: "CLOSING", 0: "STATE(0)", 77: "STATE(77)"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d) = %s, want %s", uint8(s), got, want)
		}
	}
}

// in runs f inside the namespace and fails the test on its error.
func in(t testing.TB, ns *netlab.Namespace, f func() error) {
	t.Helper()
	if err := ns.Run(f); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, ns *netlab.Namespace, ports ...uint16) (m map[segment.Flow]State) {
	t.Helper()
	in(t, ns, func() (err error) {
		m, err = List(ports)
		return err
	})
	return m
}

func destroy(ns *netlab.Namespace, flow segment.Flow) error {
	return ns.Run(func() error { return Destroy(flow) })
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// pair opens a connection and returns both ends.
func pair(t testing.TB, lab *netlab.Lab, ln net.Listener, from *netlab.Namespace, to string) (client, server net.Conn, flow segment.Flow) {
	t.Helper()
	client, err := from.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server, segment.Flow{Client: addrPort(client.LocalAddr()), Server: addrPort(client.RemoteAddr())}
}

func TestDestroyAndList(t *testing.T) {
	lab := netlabtest.New(t, nil)
	in(t, lab.Server, Supported)
	tests := []struct {
		name   string
		listen string
		from   *netlab.Namespace
		to     string
	}{
		{"IPv4", "10.77.0.2:7000", lab.Client, "10.77.0.2:7000"},
		{"IPv6", "[fd77::2]:7001", lab.Client, "[fd77::2]:7001"},
		{"IPv4 of a dual-stack listener", "[::]:7002", lab.Client, "10.77.0.2:7002"},
		{"loopback IPv4", "127.0.0.1:7003", lab.Server, "127.0.0.1:7003"},
		{"loopback IPv6", "[::1]:7004", lab.Server, "[::1]:7004"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := lab.Server.Listen("tcp", tt.listen)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			_, gone, flow := pair(t, lab, ln, tt.from, tt.to)
			_, stays, other := pair(t, lab, ln, tt.from, tt.to)
			want := map[segment.Flow]State{flow: Established, other: Established}
			if diff := cmp.Diff(want, list(t, lab.Server, flow.Server.Port()), compareFlows); diff != "" {
				t.Errorf("List (-want +got)\n%s", diff)
			}

			if err := destroy(lab.Server, flow); err != nil {
				t.Fatal(err)
			}
			if _, err := gone.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) {
				t.Errorf("Read on the destroyed socket: %v, want ECONNABORTED", err)
			}
			if err := destroy(lab.Server, flow); !errors.Is(err, ErrNotFound) {
				t.Errorf("second Destroy: %v, want ErrNotFound", err)
			}
			if diff := cmp.Diff(map[segment.Flow]State{other: Established}, list(t, lab.Server, flow.Server.Port()), compareFlows); diff != "" {
				t.Errorf("List afterwards (-want +got)\n%s", diff)
			}
			// The other connection and the listener are untouched.
			if _, err := stays.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			pair(t, lab, ln, tt.from, tt.to)
		})
	}
}

var compareFlows = cmp.Comparer(func(a, b segment.Flow) bool { return a == b })

// TestStatesOfADyingConnection: the crashed process's socket in FIN_WAIT, and
// TIME_WAIT, are listed and removed.
func TestStatesOfADyingConnection(t *testing.T) {
	lab := netlabtest.New(t, nil)
	ln, err := lab.Server.Listen("tcp", "10.77.0.2:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, server, flow := pair(t, lab, ln, lab.Client, "10.77.0.2:7000")
	server.Close()
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("Read: %v, want EOF", err)
	}
	// The client's ACK of the FIN may still be on its way.
	if s := list(t, lab.Server)[flow]; s != FinWait1 && s != FinWait2 {
		t.Errorf("after the server's Close: %v", s)
	}
	// An end of file in both directions: the server's end is in TIME_WAIT as
	// soon as the client's end is gone.
	client.Close()
	reversed := segment.Flow{Client: flow.Server, Server: flow.Client}
	for {
		if _, there := list(t, lab.Client)[reversed]; !there {
			break
		}
	}
	if s := list(t, lab.Server, 7000)[flow]; s != TimeWait {
		t.Errorf("after both ends' Close: %v, want TIME_WAIT", s)
	}
	in(t, lab.Server, func() error {
		left, err := Sockets([]uint16{7000})
		if len(left) > 0 {
			t.Errorf("Sockets has what is in TIME_WAIT: %+v", left)
		}
		return err
	})
	if err := destroy(lab.Server, flow); err != nil {
		t.Fatal(err)
	}
	if m := list(t, lab.Server, 7000); len(m) != 0 {
		t.Errorf("left over: %v", m)
	}
}

// TestOrphan: a crashed process's socket that has yet to send is removed, and a kernel that
// only says so is found out.
func TestOrphan(t *testing.T) {
	lab := netlabtest.New(t, nil)
	in(t, lab.Server, func() error { return removesOrphans(Destroy) })
	in(t, lab.Server, func() error {
		err := removesOrphans(func(flow segment.Flow, _ ...int) error {
			if s := list(t, lab.Server)[flow]; s != FinWait1 {
				t.Errorf("the orphan is in %v, want FIN_WAIT1", s)
			}
			return nil
		})
		if !errors.Is(err, ErrOrphans) {
			t.Errorf("of a kernel that leaves it: %v", err)
		}
		return nil
	})
}

// TestHalfOpenConnection: a request in SYN_RECV, which no socket of a process
// belongs to yet, is listed and removed.
func TestHalfOpenConnection(t *testing.T) {
	lab := netlabtest.New(t, nil)
	ln, err := lab.Server.Listen("tcp", "10.77.0.2:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// From an address that nobody has, so that no RST answers the SYN-ACK.
	flow := segment.Flow{Client: netip.MustParseAddrPort("10.77.0.99:4000"), Server: netip.MustParseAddrPort("10.77.0.2:7000")}
	syn := segment.Segment{Src: flow.Client, Dst: flow.Server, Seq: 1, Flags: segment.SYN, Window: 1000}
	packet, err := syn.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	in(t, lab.Server, func() error {
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW) // with its own IP header
		if err != nil {
			return err
		}
		defer unix.Close(raw)
		return unix.Sendto(raw, packet, 0, &unix.SockaddrInet4{Addr: flow.Server.Addr().As4()})
	})
	if s := list(t, lab.Server, 7000)[flow]; s != SynReceived {
		t.Fatalf("state %v, want SYN_RECV", s)
	}
	if err := destroy(lab.Server, flow); err != nil {
		t.Fatal(err)
	}
	if m := list(t, lab.Server, 7000); len(m) != 0 {
		t.Errorf("left over: %v", m)
	}
}

// TestListenerIsNeverDestroyed: the kernel's lookup answers with the listener
// when no connection matches.
func TestListenerIsNeverDestroyed(t *testing.T) {
	lab := netlabtest.New(t, nil)
	ln, err := lab.Server.Listen("tcp", "10.77.0.2:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server := netip.MustParseAddrPort("10.77.0.2:7000")
	for _, client := range []string{"10.77.0.1:4000", "0.0.0.0:0"} {
		flow := segment.Flow{Client: netip.MustParseAddrPort(client), Server: server}
		if err := destroy(lab.Server, flow); !errors.Is(err, ErrNotFound) {
			t.Errorf("Destroy(%v): %v, want ErrNotFound", flow, err)
		}
	}
	pair(t, lab, ln, lab.Client, server.String())
}
