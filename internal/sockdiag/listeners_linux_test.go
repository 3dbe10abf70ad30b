package sockdiag

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func TestListeners(t *testing.T) {
	testenv.RequireRoot(t)
	lab := netlabtest.New(t, &netlab.Config{})
	listen := func(network, address string) net.Listener {
		ln, err := lab.Server.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	addresses := func(ports ...uint16) (got []string, list []Listener) {
		in(t, lab.Server, func() (err error) {
			list, err = Listeners(ports)
			return err
		})
		for _, l := range list {
			got = append(got, l.Address.String())
		}
		slices.Sort(got)
		return got, list
	}
	if got, _ := addresses(); len(got) != 0 {
		t.Errorf("an empty namespace has %v", got)
	}
	one := listen("tcp4", "127.0.0.1:7001")
	listen("tcp", ":7004").Close() // ended: not listed
	listen("tcp6", "[::1]:7001")
	listen("tcp4", "0.0.0.0:7002")
	listen("tcp", ":7003")
	client, err := lab.Server.Dial("tcp", "127.0.0.1:7001") // no listener
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, tt := range []struct {
		ports []uint16
		want  []string
	}{
		{nil, []string{"0.0.0.0:7002", "127.0.0.1:7001", "[::1]:7001", "[::]:7003"}},
		{[]uint16{7001}, []string{"127.0.0.1:7001", "[::1]:7001"}},
		{[]uint16{7002, 7003}, []string{"0.0.0.0:7002", "[::]:7003"}},
		{[]uint16{7004}, nil},
	} {
		if got, _ := addresses(tt.ports...); !cmp.Equal(got, tt.want) {
			t.Errorf("ports %v: %v, want %v", tt.ports, got, tt.want)
		}
	}
	_, list := addresses(7001)
	i := slices.IndexFunc(list, func(l Listener) bool { return l.Address == netip.MustParseAddrPort("127.0.0.1:7001") })
	if want := inode(t, one); list[i].Inode != want || list[i].Cookie == 0 {
		t.Errorf("%+v, want inode %d", list[i], want)
	}
	one.Close()
	if got, _ := addresses(7001); !cmp.Equal(got, []string{"[::1]:7001"}) {
		t.Errorf("after Close: %v", got)
	}
}

// inode is how the kernel calls the socket in /proc.
func inode(t testing.TB, ln net.Listener) (n uint32) {
	t.Helper()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		var name string
		if name, err = os.Readlink(filepath.Join("/proc/self/fd", fmt.Sprint(fd))); err == nil {
			_, err = fmt.Sscanf(name, "socket:[%d]", &n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func BenchmarkListeners(b *testing.B) {
	for b.Loop() {
		if _, err := Listeners([]uint16{7001}); err != nil {
			b.Fatal(err)
		}
	}
}
