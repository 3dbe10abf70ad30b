package conntrack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
)

// rules loads rules of nft into the server's namespace.
func rules(t *testing.T, lab *netlab.Lab, text string) {
	t.Helper()
	cmd := lab.Server.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// tableOf returns the table of the server's namespace.
func tableOf(t *testing.T, lab *netlab.Lab) *Table {
	t.Helper()
	table := new(Table)
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		if err := table.Delete(segment.Flow{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	if err := lab.Server.Run(func() error {
		table.mu.Lock()
		defer table.mu.Unlock()
		ok, err := table.ready()
		if err == nil && !ok {
			err = errors.New("nothing is tracked")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return table
}

// TestLookup: a redirected connection, one that is not, and one that is not there.
func TestLookup(t *testing.T) {
	lab := netlabtest.New(t, nil)
	rules(t, lab, "table inet t {\nchain p {\ntype nat hook prerouting priority dstnat\ntcp dport 80 redirect to :7000\n}\n}\n")
	ln, err := lab.Server.Listen("tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	table := tableOf(t, lab)
	for _, dialled := range []string{"10.77.0.2:7000", "10.77.0.2:80", "[fd77::2]:7000", "[fd77::2]:80"} {
		c, err := lab.Client.Dial("tcp", dialled)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		to := netip.MustParseAddrPort(dialled)
		from := c.LocalAddr().(*net.TCPAddr).AddrPort()
		socket := segment.Flow{Client: from, Server: netip.AddrPortFrom(to.Addr(), 7000)}
		if got, err := table.Lookup(socket); err != nil || got != (Entry{Client: from, Server: to}) {
			t.Errorf("%s: %v, %v", dialled, got, err)
		}
		socket.Client = netip.AddrPortFrom(from.Addr(), 1)
		if got, err := table.Lookup(socket); !errors.Is(err, ErrNotFound) {
			t.Errorf("a connection that is not there: %v, %v", got, err)
		}
	}
}
