package recovery

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/internal/supervisor"
)

func TestServiceDefaults(t *testing.T) {
	got, err := ServiceConfig{Command: []string{"/usr/bin/redis-server"}, Mode: ModeUnmodified, Listen: []string{":6379"}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := ServiceConfig{
		Name: "redis-server", Mode: ModeUnmodified, Listen: []string{":6379"}, Command: []string{"/usr/bin/redis-server"},
		Quota: 64 << 20, OnFull: CloseWindow, Log: LogFull, LogDown: DownHold, DownAfter: 10 * time.Second, Idle: time.Second, Compare: CompareStrict, Drain: 5 * time.Second,
		Restart: RestartPolicy{Policy: supervisor.OnCrash},
		Ready:   Readiness{Probe: ProbeListening, Interval: 100 * time.Millisecond, Timeout: time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = ServiceConfig{Command: []string{"x"}, Drain: NoDrain}.withDefaults()
	if err != nil || got.Mode != ModeListen || got.Drain != 0 || got.Compare != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestServiceRefused(t *testing.T) {
	for _, tt := range []struct {
		says string
		edit func(*ServiceConfig)
	}{
		{"no command", func(c *ServiceConfig) { c.Command = nil }},
		{"unknown mode \"x\": want listen or unmodified", func(c *ServiceConfig) { c.Mode = "x" }},
		{"unknown policy \"x\": want close-window, unprotect or reset", func(c *ServiceConfig) { c.OnFull = "x" }},
		{"unknown log policy", func(c *ServiceConfig) { c.Log = "x" }},
		{"unknown comparison", func(c *ServiceConfig) { c.Compare = "x" }},
		{"unknown probe", func(c *ServiceConfig) { c.Ready.Probe = "x" }},
		{"needs its listen addresses", func(c *ServiceConfig) { c.Listen = nil }},
		{"want HOST:PORT", func(c *ServiceConfig) { c.Listen = []string{"7000"} }},
		{"no port number", func(c *ServiceConfig) { c.Listen = []string{":0"} }},
		{"must be an IP address", func(c *ServiceConfig) { c.Listen = []string{"localhost:7000"} }},
		{"no command to run", func(c *ServiceConfig) { c.Ready.Probe = ProbeCommand }},
		{"readiness: address", func(c *ServiceConfig) { c.Ready = Readiness{Probe: ProbeTCP, Address: "x"} }},
		{"no address to connect to", func(c *ServiceConfig) {
			*c = ServiceConfig{Command: c.Command, Ready: Readiness{Probe: ProbeTCP}}
		}},
		{"chooses the comparison itself", func(c *ServiceConfig) { c.Mode, c.Compare = ModeListen, CompareLength }},
		{"is for unmodified servers", func(c *ServiceConfig) { c.Mode, c.Log = ModeListen, LogOff }},
		{"unknown policy \"x\": want hold or unprotect", func(c *ServiceConfig) { c.LogDown = "x" }},
		{"waits for the log", func(c *ServiceConfig) { c.DownAfter = -1 }},
		{"idle time", func(c *ServiceConfig) { c.Log, c.Idle = LogSinceIdle, -1 }},
		{"quota", func(c *ServiceConfig) { c.Quota = -1 }},
		{"64KiB", func(c *ServiceConfig) { c.Quota = MinQuota - 1 }},
	} {
		c := ServiceConfig{Name: "n", Mode: ModeUnmodified, Listen: []string{":7000"}, Command: []string{"x"}}
		tt.edit(&c)
		if _, err := c.withDefaults(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %v", tt.says, err)
		}
	}
}

// TestRunRefuses: what is wrong is told before the kernel is asked for anything.
func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		says string
	}{
		{Config{}, "no command"},
		{Config{Command: []string{"true"}, Mode: ModeUnmodified}, "listen addresses"},
		{Config{Command: []string{"/ftnet/none"}}, "cannot start"},
		{Config{Command: []string{"true"}, User: "ftnet-nobody"}, "ftnet-nobody"},
	} {
		if err := Run(context.Background(), tt.cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	parse := func(list ...string) []netip.AddrPort {
		out, err := parseAddresses(list)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tt := range []struct {
		listen  []string
		asked   string
		allowed bool
	}{
		{nil, "10.0.0.1:7000", true},
		{[]string{":7000"}, "10.0.0.1:7000", true},
		{[]string{"0.0.0.0:7000"}, ":7000", true},
		{[]string{"10.0.0.1:7000", "[::1]:7000"}, "[::1]:7000", true},
		{[]string{"10.0.0.1:7000"}, "[::ffff:10.0.0.1]:7000", true},
		{[]string{"10.0.0.1:7000"}, "10.0.0.2:7000", false},
		{[]string{"10.0.0.1:7000"}, "[::]:7000", false},
		{[]string{":7000"}, ":7001", false},
	} {
		if got := permitted(parse(tt.listen...), parse(tt.asked)[0]); got != tt.allowed {
			t.Errorf("%v permits %s: %v", tt.listen, tt.asked, got)
		}
	}
	for _, tt := range []struct {
		address, socket string
		want            bool
	}{
		{":7000", "127.0.0.1:7000", true}, // the server may choose
		{"[::]:7000", "[::1]:7000", true},
		{"127.0.0.1:7000", "127.0.0.1:7000", true},
		{"127.0.0.1:7000", "0.0.0.0:7000", true},
		{"127.0.0.1:7000", "[::]:7000", true},
		{"[::1]:7000", "[::]:7000", true},
		{"[::1]:7000", "0.0.0.0:7000", false},
		{"127.0.0.1:7000", "127.0.0.2:7000", false},
		{":7000", "127.0.0.1:7001", false},
	} {
		sockets := []sockdiag.Listener{{Address: netip.MustParseAddrPort(tt.socket)}}
		if got := served(parse(tt.address)[0], sockets); got != tt.want {
			t.Errorf("%s is served by %s: %v", tt.address, tt.socket, got)
		}
	}
	for address, want := range map[string]string{
		":1": "127.0.0.1:1", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1",
	} {
		if got := dialable(parse(address)[0]).String(); got != want {
			t.Errorf("%s is dialled at %s", address, got)
		}
	}
	if got := portsOf(parse(":7", "127.0.0.1:5", "[::1]:7")); !slices.Equal(got, []uint16{5, 7}) {
		t.Errorf("ports %v", got)
	}
}

// TestDue: a port is due when all its addresses are served.
func TestDue(t *testing.T) {
	waiting, _ := parseAddresses([]string{"127.0.0.1:7", "[::1]:7", ":8"})
	socket := func(a string) sockdiag.Listener { return sockdiag.Listener{Address: netip.MustParseAddrPort(a)} }
	first := []sockdiag.Listener{socket("127.0.0.1:7")}
	if got := due(&waiting, first); len(got) != 0 || len(waiting) != 2 {
		t.Errorf("due %v, waiting for %v", got, waiting)
	}
	if got := due(&waiting, append(first, socket("0.0.0.0:8"))); !slices.Equal(got, []uint16{8}) || len(waiting) != 1 {
		t.Errorf("due %v, waiting for %v", got, waiting)
	}
	if got := due(&waiting, append(first, socket("[::]:7"))); !slices.Equal(got, []uint16{7}) || len(waiting) != 0 {
		t.Errorf("due %v, waiting for %v", got, waiting)
	}
}
