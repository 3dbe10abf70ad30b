package rawio

import (
	"net/netip"
	"testing"

	"github.com/ftnet/ftnet/internal/sockdiag"
)

func TestTakes(t *testing.T) {
	const lo, eth0, eth1 = 1, 2, 3
	for _, tt := range []struct {
		listener string
		v6Only   bool
		bound    uint32
		address  string
		by       int
		want     bool
	}{
		{"0.0.0.0:80", false, 0, "192.0.2.1", eth0, true},
		{"0.0.0.0:80", false, 0, "2001:db8::1", eth0, false},
		{"[::]:80", false, 0, "192.0.2.1", eth0, true},
		{"[::]:80", false, 0, "2001:db8::1", eth0, true},
		{"[::]:80", true, 0, "192.0.2.1", eth0, false},
		{"[::]:80", true, 0, "2001:db8::1", eth0, true},
		{"192.0.2.1:80", false, 0, "192.0.2.1", eth1, true},
		{"192.0.2.1:80", false, 0, "192.0.2.2", eth0, false},
		{"127.0.0.1:80", false, 0, "192.0.2.1", eth0, false},
		{"[2001:db8::1]:80", false, 0, "192.0.2.1", eth0, false},
		{"0.0.0.0:80", false, eth1, "192.0.2.1", eth0, false},
		{"0.0.0.0:80", false, eth1, "192.0.2.1", eth1, true},
		{"[::]:80", false, eth1, "::1", lo, false},
	} {
		l := sockdiag.Listener{Address: netip.MustParseAddrPort(tt.listener), V6Only: tt.v6Only, Interface: tt.bound}
		a := netip.MustParseAddr(tt.address)
		if got := takes(&l, a, tt.by); got != tt.want {
			t.Errorf("%+v takes %v by interface %d: %v", l, a, tt.by, got)
		}
		at := entrance{80, tt.by, a.Is6()}
		if got := taken([]sockdiag.Listener{l}, at, a); got != tt.want {
			t.Errorf("%+v: taken is %v", l, got)
		}
		if at.port = 81; taken([]sockdiag.Listener{l}, at, a) {
			t.Errorf("%+v takes what is for another port", l)
		}
	}
	if taken([]sockdiag.Listener{{Address: netip.MustParseAddrPort("0.0.0.0:80")}}, entrance{port: 80}, netip.Addr{}) {
		t.Error("no address is taken")
	}
}
