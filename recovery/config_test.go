package recovery

import (
	"context"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

func TestSupervise(t *testing.T) {
	c := config.NewService("a", config.ModeUnmodified, "x", "1")
	c.Args, c.Env, c.Dir, c.User, c.Groups = []string{"2"}, map[string]string{"K": "v", "A": "x=y"}, "/d", "u", []string{"g"}
	c.Limits = config.Limits{"nofile": {Soft: 1, Hard: 2}, "core": {Hard: config.Unlimited}}
	c.Restart = config.Restart{Policy: supervisor.Always, Limit: 3, Window: 4, Backoff: 5, BackoffMax: 6}
	c.StopSignal, c.StopTimeout = syscall.SIGQUIT, 7
	signals := make(chan os.Signal)
	own := []string{"PATH=/bin", "K=w", "LANG=C"}
	in := Inherit{Environ: own, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals}
	log := hclog.NewNullLogger()
	got := in.supervise(&c, log)
	want := supervisor.Config{
		Command: []string{"x", "1", "2"}, Env: []string{"A=x=y", "K=v", "LANG=C", "PATH=/bin"}, Dir: "/d", User: "u", Groups: []string{"g"},
		Limits: []supervisor.Limit{{Resource: "core", Hard: supervisor.Unlimited}, {Resource: "nofile", Soft: 1, Hard: 2}},
		Stdin:  os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StopSignal: syscall.SIGQUIT, StopTimeout: 7, Restart: supervisor.Always, RestartLimit: 3, RestartWindow: 4,
		Backoff: supervisor.Backoff{First: 5, Max: 6}, Signals: signals, Logger: log,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want\n%+v", got, want)
	}
	if own[1] != "K=w" {
		t.Error("the caller's environment was changed")
	}
	for _, limit := range []int{0, supervisor.NoLimit} {
		c.Restart.Limit = limit
		if got := in.supervise(&c, log); got.RestartLimit != limit {
			t.Errorf("limit %d became %d", limit, got.RestartLimit)
		}
	}
}

// TestRunRefuses: what is wrong is told before the kernel is asked for anything.
func TestRunRefuses(t *testing.T) {
	user := config.NewService("a", config.ModeListen, "true")
	user.User = "ftnet-nobody"
	for _, tt := range []struct {
		cfg  config.Service
		says string
	}{
		{config.NewService("a", config.ModeListen), `"command" is missing`},
		{config.NewService("a", config.ModeUnmodified, "true"), `"listen" is missing`},
		{config.NewService("a", config.ModeListen, "/ftnet/none"), "cannot start"},
		{user, "ftnet-nobody"},
	} {
		if err := Run(context.Background(), DefaultHost(), tt.cfg, Inherit{}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	parse := func(list ...string) []netip.AddrPort {
		out := (&config.Service{Listen: list}).Addresses()
		if len(out) != len(list) {
			t.Fatal(list)
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
	waiting := (&config.Service{Listen: []string{"127.0.0.1:7", "[::1]:7", ":8"}}).Addresses()
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
