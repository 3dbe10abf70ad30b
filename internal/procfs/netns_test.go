package procfs

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTCP(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
   3: short 0A
   4: 0100007F:XYZ 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4714 1
`
	want := []TCPListener{{8080, 4711}, {443, 4713}}
	if diff := cmp.Diff(want, parseTCP([]byte(text))); diff != "" {
		t.Error(diff)
	}
}

// TestTCPListeners: this process's own is among those of its namespace.
func TestTCPListeners(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		port := uint16(ln.Addr().(*net.TCPAddr).Port)
		i := slices.IndexFunc(TCPListeners(os.Getpid()), func(l TCPListener) bool { return l.Port == port })
		if i < 0 || !slices.Contains(Sockets(os.Getpid()), TCPListeners(os.Getpid())[i].Inode) {
			t.Errorf("%s is not found", ln.Addr())
		}
	}
}

func TestNetnsOf(t *testing.T) {
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := NetnsOf(os.Getpid())
	if err != nil || !strings.Contains(ours.String(), link) {
		t.Errorf("%v, %v; want %s", ours, err, link)
	}
	if thread, err := NetnsOf(0); err != nil || thread != ours {
		t.Errorf("%v, %v", thread, err)
	}
	if _, err := NetnsOf(1 << 30); err == nil {
		t.Error("a process that is not there has a namespace")
	}
	if fmt.Sprint(Netns{1, 2}) != "net:[2]" {
		t.Error(Netns{1, 2})
	}
}
