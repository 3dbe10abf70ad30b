package e2e

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// nft gives the server's host a rule set.
func (r *rig) nft(rules string) {
	r.t.Helper()
	cmd := r.lab.Server.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// bothModes runs a test with a server that calls ftnet.Listen and with one that knows
// nothing of ftnet. run starts it in a lab that the test has prepared, with more flags.
func bothModes(t *testing.T, test func(t *testing.T, r *rig, run func(flags ...string))) {
	for _, mode := range []string{"listen", "unmodified"} {
		t.Run(mode, func(t *testing.T) {
			r := prepare(t, options{})
			test(t, r, func(flags ...string) {
				args := append([]string{"-listen", ":7002"}, flags...)
				if mode == "unmodified" {
					r.spawn(unmodifiedOptions(7002), "probe", append([]string{"-mode", "plain"}, args...)...)
				} else {
					r.spawn(options{}, "probe", args...)
				}
			})
		})
	}
}

// unprotected waits until the status counts n connections of the only port as
// unprotected for a reason, and none for another, and the log names as many. It
// returns them.
func (r *rig) unprotected(why reason.Reason, n int) (list []status.Connection) {
	r.t.Helper()
	d := r.waitStatus("connections are called unprotected: "+string(why), func(d *status.Document) bool {
		return len(d.Services) == 1 && d.Services[0].Unprotected[string(why)] >= uint64(n)
	})
	if s := d.Services[0]; len(s.Unprotected) != 1 || s.Unprotected[string(why)] != uint64(n) {
		r.t.Errorf("the status counts %v", s.Unprotected)
	}
	if said := r.countOutput("connection is not protected", n); said != n {
		r.t.Errorf("the log says %d times that a connection is not protected, not %d", said, n)
	}
	for _, c := range d.Connections {
		if c.Protection == status.Unprotected {
			list = append(list, c)
			if !strings.HasPrefix(c.Reason, string(why)) {
				r.t.Errorf("the status says of %s: %s", c.Client, c.Reason)
			}
		}
	}
	return list
}

// expectLost waits for the end that a crash of its server has for an unprotected
// connection.
func (c *client) expectLost() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := c.in.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("got %q, %v; want the connection's end", b, err)
	}
}

// TestRedirect: a client whose port is translated on the server's host is not
// protected, and that is said.
func TestRedirect(t *testing.T) {
	for _, rules := range []struct{ name, statement string }{
		{"redirect", "tcp dport 80 redirect to :7002"},
		{"dnat", "ip daddr 10.77.0.2 tcp dport 80 dnat ip to 10.77.0.2:7002; ip6 daddr fd77::2 tcp dport 80 dnat ip6 to [fd77::2]:7002"},
	} {
		t.Run(rules.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, r *rig, run func(...string)) {
				r.nft("table inet t {\nchain p {\ntype nat hook prerouting priority dstnat\n" + rules.statement + "\n}\n}\n")
				run()
				direct := r.dial()
				direct.echo("direct")
				var others []*client
				for _, a := range []string{"10.77.0.2:80", "[fd77::2]:80"} {
					c := r.dialTo(fromClient(r), a)
					c.echo("translated")
					others = append(others, c)
				}
				list := r.unprotected(reason.Translated, len(others))
				if len(list) != len(others) {
					t.Fatalf("%+v", list)
				}
				for _, c := range list {
					if !strings.HasSuffix(c.Reason, ":80") {
						t.Errorf("%s does not say what was dialled", c.Reason)
					}
				}
				r.crash()
				direct.echo("recovered")
				for _, c := range others {
					c.expectLost()
				}
				r.unprotected(reason.Translated, len(others)) // once for all
			})
		})
	}
}

// TestSourceTranslated: a client whose address is translated on the server's host, so
// that its connection is another one in the network.
func TestSourceTranslated(t *testing.T) {
	bothModes(t, func(t *testing.T, r *rig, run func(...string)) {
		r.nft("table ip t {\nchain i {\ntype nat hook input priority 100\ntcp dport 7002 snat to 10.77.0.9\n}\n}\n")
		run()
		c := r.dial()
		c.echo("translated")
		list := r.unprotected(reason.Translated, 1)
		if len(list) == 0 || !strings.HasSuffix(list[0].Reason, c.LocalAddr().String()) {
			t.Errorf("%+v", list)
		}
		r.crash()
		c.expectLost()
		r.unprotected(reason.Translated, 1)
	})
}

// TestSYNProxy: a client whose SYN was answered by netfilter is not protected, and
// that is said.
func TestSYNProxy(t *testing.T) {
	bothModes(t, func(t *testing.T, r *rig, run func(...string)) {
		if err := r.lab.Server.Sysctl("netfilter/nf_conntrack_tcp_loose", "0"); err != nil {
			t.Fatal(err)
		}
		r.nft(`table inet t {
			chain r {
				type filter hook prerouting priority raw
				iifname "s0" tcp dport 7002 tcp flags & (fin|syn|rst|ack) == syn notrack
			}
			chain i {
				type filter hook input priority filter
				iifname "s0" tcp dport 7002 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
				ct state invalid drop
			}
		}`)
		run()
		c := r.dial()
		c.echo("proxied")
		if list := r.unprotected(reason.SYNProxied, 1); len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		r.crash()
		c.expectLost()
		r.unprotected(reason.SYNProxied, 1)
	})
}

// TestEarlierConnection: what uses a port before it is protected is not, and that is
// said; so it is of what the host dials from there later.
func TestEarlierConnection(t *testing.T) {
	r := prepare(t, options{})
	ln, err := r.lab.Client.Listen("tcp", "10.77.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r.dialFrom7002(ln)
	r.spawn(options{}, "probe", "-listen", "10.77.0.2:7002")
	r.unprotected(reason.Earlier, 1)
	c := r.dial()
	c.echo("protected")
	if p := r.connection(c); p.Protection != status.Protected {
		t.Errorf("%+v", p)
	}
	r.crash()
	c.echo("recovered")
	r.unprotected(reason.Earlier, 1)
}

// TestDialledFromPort: a connection that the server's host dials from a protected port.
func TestDialledFromPort(t *testing.T) {
	r := prepare(t, options{})
	ln, err := r.lab.Client.Listen("tcp", "10.77.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r.nft("table inet t {\nchain i {\ntype filter hook input priority filter\nct state invalid drop\n}\n}\n") // has connections tracked
	r.spawn(options{}, "probe", "-listen", "127.0.0.1:7002")
	r.dialFrom7002(ln)
	r.unprotected(reason.Dialled, 1)
}

// dialFrom7002 opens a connection from the server's port to a listener of the
// client's host.
func (r *rig) dialFrom7002(ln net.Listener) {
	r.t.Helper()
	err := r.lab.Server.Run(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(probeAddress)),
			Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
				return errors.Join(cerr, err)
			}}
		c, err := d.Dial("tcp", ln.Addr().String())
		if err == nil {
			r.t.Cleanup(func() { c.Close() })
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}
