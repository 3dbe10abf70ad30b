package conntrack

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
)

// TestDelete deletes connections that either end has begun, and lets others alone.
func TestDelete(t *testing.T) {
	lab := netlabtest.New(t, nil)
	rules(t, lab, "table inet t {\nchain i { type filter hook input priority 0; ct state new accept; }\n}\n")
	table := tableOf(t, lab)
	for _, addr := range []netip.Addr{netlab.Server4, netlab.Server6} {
		ln, err := lab.Server.Listen("tcp", netip.AddrPortFrom(addr, 7000).String())
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		tracked := func() (n int) {
			out, err := lab.Server.Command("conntrack", "-L", "-f", map[bool]string{true: "ipv4", false: "ipv6"}[addr.Is4()]).Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(out), "dport=7000")
		}
		var flows []segment.Flow
		for range 2 {
			c, err := lab.Client.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			flows = append(flows, segment.Flow{Client: netip.MustParseAddrPort(c.LocalAddr().String()), Server: netip.MustParseAddrPort(c.RemoteAddr().String())})
		}
		if n := tracked(); n != 2 {
			t.Fatalf("%d connections are tracked", n)
		}
		if err := table.Loosen(flows[1]); err != nil {
			t.Fatal(err)
		}
		for i, f := range []segment.Flow{flows[0], flows[0], {Client: flows[1].Server, Server: flows[1].Client}} {
			if err := table.Delete(f); err != nil {
				t.Fatal(err)
			}
			if n, want := tracked(), []int{1, 1, 0}[i]; n != want {
				t.Errorf("after %d calls %d connections are tracked, not %d", i+1, n, want)
			}
		}
	}
}
