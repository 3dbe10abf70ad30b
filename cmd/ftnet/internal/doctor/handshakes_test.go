package doctor

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/status"
)

// TestKnownHandshakes: what a running engine has found, or could not try, is said of each
// interface, and counted as right only if something was answered.
func TestKnownHandshakes(t *testing.T) {
	service := func(s status.Service) *status.Document {
		s.Program = "web"
		return &status.Document{Services: []status.Service{s}}
	}
	var got []string
	for _, d := range []*status.Document{
		service(status.Service{Address: ":7001", State: status.ServiceStarting}),
		service(status.Service{Address: ":7002", State: status.ServiceListening}),
		service(status.Service{Address: ":7004", State: status.ServiceOutage}),
		service(status.Service{Address: ":7005", State: status.ServiceStopped}),
		service(status.Service{Address: ":7006", State: status.ServiceClosed}),
		service(status.Service{
			Address: "[::]:7003", State: status.ServiceListening,
			Handshakes: []status.Handshake{
				{Interface: "eth0", Network: "tcp4", Answered: true},
				{Interface: "eth1", Network: "tcp4", Answered: true, Loopback: true},
				{Interface: "eth2", Network: "tcp4", Reason: "it was refused"},
			},
			Untried: []status.Handshake{{Interface: "eth3", Network: "tcp6", Reason: "nobody is known"}},
		}),
	} {
		for _, r := range Handshakes(t.Context(), []*status.Document{d}, nil, fwmark.Mark{}) {
			got = append(got, string(r.Level)+" "+r.Detail)
		}
	}
	want := []string{
		"warn port 7001: not tried, for web does not listen there yet (:7001)",
		"warn port 7002: its engine has tried none yet",
		"warn port 7004: not tried: nothing listens there",
		"warn port 7005: not tried: nothing listens there",
		"warn port 7006: not tried: nothing listens there",
		"ok port 7003 by eth0, tcp4: answered",
		"ok port 7003 by eth1, tcp4: answered by loopback only",
		"warn port 7003 by eth2, tcp4: it was refused",
		"warn port 7003 by eth3, tcp6: not tried: nobody is known",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhere(t *testing.T) {
	for _, tt := range []struct {
		at   netip.AddrPort
		want string
	}{
		{netip.AddrPortFrom(netip.Addr{}, 7), "port 7"},
		{netip.MustParseAddrPort("[::]:7"), "port 7"},
		{netip.MustParseAddrPort("192.0.2.1:7"), "192.0.2.1:7"},
	} {
		if got := where(tt.at); got != tt.want {
			t.Errorf("%v is called %q", tt.at, got)
		}
	}
}
