package e2e

import (
	"bufio"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/internal/status"
)

// shortQueues are the ways in which a probe with a short queue is protected, over both families.
func shortQueues(t *testing.T, f func(t *testing.T, family family, begin func(flags []string, args ...string) *rig)) {
	for _, fam := range families[:2] {
		for _, mode := range []string{"", "plain"} {
			name := map[string]string{"": "listen", "plain": "unmodified"}[mode]
			t.Run(name+"/"+fam.name, func(t *testing.T) {
				t.Parallel()
				f(t, fam, func(flags []string, args ...string) *rig {
					o := options{flags: flags}
					if mode != "" {
						o = unmodifiedOptions(7002, flags...)
					}
					r := prepare(t, o)
					// Nobody can listen with a longer queue.
					for key, value := range map[string]string{"core/somaxconn": "16", "ipv4/tcp_max_syn_backlog": "16"} {
						r.sysctl(key, value)
					}
					r.spawn(o, "probe", append([]string{"-mode", mode, "-listen", ":7002"}, args...)...)
					return r
				})
			})
		}
	}
}

func (r *rig) sysctl(key, value string) {
	r.t.Helper()
	if err := r.lab.Server.Sysctl(key, value); err != nil {
		r.t.Fatal(err)
	}
}

// unharmed checks that every connection was protected, and none reset.
func (r *rig) unharmed(d *status.Document) {
	r.t.Helper()
	for _, s := range d.Services {
		if len(s.Unprotected) > 0 || s.Mismatches > 0 {
			r.t.Errorf("%+v", s)
		}
	}
	for _, c := range d.Connections {
		if c.Protection != status.Protected {
			r.t.Errorf("%+v", c)
		}
	}
}

// TestShortQueueLateAccept: 100 clients of a server that listens with a queue of 16 and
// accepts a second late after a crash, and crashes once more while the queue is full.
func TestShortQueueLateAccept(t *testing.T) {
	shortQueues(t, func(t *testing.T, f family, begin func([]string, ...string) *rig) {
		late := filepath.Join(publicDir(t), "late")
		r := begin(nil, "-late", late)
		var list []*client
		for range 100 {
			list = append(list, r.dialTo(f.dial(r), f.address(7002)))
			list[len(list)-1].echo("before")
		}
		closeGate(t, late)
		r.kill()
		r.killChild() // which may not have come so far, or wait
		d := r.recovered()
		for i, c := range list {
			c.echo(fmt.Sprint("after ", i))
		}
		if d.Services[0].Recovered < 100 {
			t.Errorf("%+v", d.Services[0])
		}
		r.unharmed(d)
	})
}

// TestDeferAccept: a listener with TCP_DEFER_ACCEPT takes a recovered connection at once,
// without that its client says anything.
func TestDeferAccept(t *testing.T) {
	shortQueues(t, func(t *testing.T, f family, begin func([]string, ...string) *rig) {
		r := begin(nil, "-defer", "30")
		var list []*client
		for range 10 {
			list = append(list, r.dialTo(f.dial(r), f.address(7002)))
			list[len(list)-1].echo("before")
		}
		for range 3 {
			r.kill()
			r.unharmed(r.recovered())
			r.kernelHas(10)
		}
		for _, c := range list {
			c.echo("after")
		}
	})
}

// kernelHas checks that the server's kernel has n connections whose handshake is done.
func (r *rig) kernelHas(n int) {
	r.t.Helper()
	err := r.lab.Server.Run(func() error {
		all, err := sockdiag.List([]uint16{7002})
		done := 0
		for _, state := range all {
			if state == sockdiag.Established {
				done++
			}
		}
		if done != n {
			r.t.Errorf("the kernel has %d established connections, want %d: %v", done, n, all)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestSYNCookies: the host answers every SYN by a cookie, the engine's own as well.
func TestSYNCookies(t *testing.T) {
	shortQueues(t, func(t *testing.T, f family, begin func([]string, ...string) *rig) {
		r := begin(nil)
		r.sysctl("ipv4/tcp_syncookies", "2")
		var list []*client
		for range 40 {
			list = append(list, r.dialTo(f.dial(r), f.address(7002)))
			list[len(list)-1].echo("before")
		}
		for range 3 {
			r.kill()
			r.unharmed(r.recovered())
			for _, c := range list {
				c.echo("after")
			}
		}
		if n := r.cookies(); n < 40 {
			t.Errorf("%d cookies were taken", n)
		}
	})
}

// cookies is how many third ACKs of SYN cookies the server's kernel has taken.
func (r *rig) cookies() int {
	r.t.Helper()
	out, err := r.lab.Server.Command("nstat", "-asz", "TcpExtSyncookiesRecv").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	var n int
	for line := range strings.Lines(string(out)) {
		_, _ = fmt.Sscanf(line, "TcpExtSyncookiesRecv %d", &n) // the other is a heading
	}
	return n
}

// TestRedisBurst: 400 clients dial a Redis server with a queue of 16 at once, and it is
// killed twice under them. No third ACK arrives before all have dialled, so that all
// but those that the queue takes are answered by SYN cookies, however fast the server is.
func TestRedisBurst(t *testing.T) {
	testenv.RequireTool(t, "redis-server")
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) {
			const clients = 400
			s := serve(t, nil, serviceEntry("redis", "unmodified", 6379, []string{program(t, "redis-server"), "--port", "6379", "--bind", "*", "-::*",
				"--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", publicDir(t), "--tcp-backlog", "16"}, nil))
			list := make([]*client, clients)
			each := func(f func(i int)) {
				var wg sync.WaitGroup
				for i := range clients {
					wg.Go(func() { f(i) })
				}
				wg.Wait()
				if t.Failed() {
					t.FailNow()
				}
			}
			ruleset(t, s.lab.Client, "table inet burst {\nchain o {\ntype filter hook output priority filter\ntcp dport 6379 tcp flags & (syn | ack) == ack drop\n}\n}\n")
			each(func(i int) {
				c, err := f.dial(s.rig)(t.Context(), "tcp", f.address(6379))
				if err != nil {
					t.Error(err)
					return
				}
				list[i] = &client{t: t, Conn: c, in: bufio.NewReader(c)}
			})
			ruleset(t, s.lab.Client, "delete table inet burst\n")
			pid := 0
			for round := range 3 {
				say := each
				if round == 0 { // all at once would overflow the queue, again with each repetition
					say = func(f func(i int)) {
						for i := range clients {
							f(i)
						}
					}
				}
				say(func(i int) {
					c := list[i]
					_ = c.SetDeadline(time.Now().Add(60 * time.Second)) // cannot fail
					_, err := fmt.Fprintf(c, "INCR key%d\r\n", i)
					got, rerr := c.in.ReadString('\n')
					if want := fmt.Sprintf(":%d\r\n", round+1); err != nil || rerr != nil || got != want {
						t.Errorf("client %d, round %d: %q, %v, %v; want %q", i, round, got, err, rerr, want)
					}
				})
				if round < 2 {
					pid = s.killService("redis", pid)
					s.unharmed(s.ready("redis", pid))
				}
			}
			for _, c := range list {
				c.Close()
			}
			if n := s.cookies(); n == 0 {
				t.Error("no SYN cookie was sent")
			}
		})
	}
}

// forge sends SYNs from addresses that nobody has, on a network behind the client.
func (r *rig) forge(f family, n int) {
	r.t.Helper()
	server := netip.MustParseAddrPort(f.address(7002))
	domain, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_HDRINCL
	if server.Addr().Is6() {
		domain, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL
	}
	network, gateway := netip.MustParsePrefix("10.99.0.0/16"), netlab.Client4
	if server.Addr().Is6() {
		network, gateway = netip.MustParsePrefix("fd99::/64"), netlab.Client6
	}
	if out, err := r.lab.Server.Command("ip", "route", "add", network.String(), "via", gateway.String()).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	from := network.Addr()
	err := r.lab.Client.Run(func() error {
		fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return err
		}
		for i := range n {
			from = from.Next()
			s := segment.Segment{Src: netip.AddrPortFrom(from, 1024), Dst: server, Seq: uint32(i), Flags: segment.SYN, Window: 1000}
			s.Options.MSS = 1460
			to := unix.Sockaddr(&unix.SockaddrInet4{Addr: netlab.Server4.As4()})
			if domain == unix.AF_INET6 {
				to = &unix.SockaddrInet6{Addr: netlab.Server6.As16()}
			}
			p, err := s.Append(nil)
			if err != nil {
				return err
			}
			if err := unix.Sendto(fd, p, 0, to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestForgedSYNs: half-open connections are no clients: the restarted server hears nothing
// of them, and they give way to clients.
func TestForgedSYNs(t *testing.T) {
	shortQueues(t, func(t *testing.T, f family, begin func([]string, ...string) *rig) {
		const forged, slots = 200, 32
		r := begin([]string{"--max-connections", fmt.Sprint(slots)})
		r.sysctl("ipv4/tcp_synack_retries", "0") // a burst of them may push out a client whose ACK is on its way
		r.forge(f, forged)
		d := r.waitStatus("the SYNs have come", func(d *status.Document) bool {
			return len(d.Services) == 1 && d.Services[0].HalfOpen >= slots && d.Gate.Reasons["synack_held"] >= forged
		})
		if n := conns(d, "established"); n != 0 || d.Services[0].Connections != 0 {
			t.Errorf("%d connections, %+v", n, d.Services[0])
		}
		var list []*client
		for range slots / 2 {
			list = append(list, r.dialTo(f.dial(r), f.address(7002)))
			list[len(list)-1].echo("before")
		}
		r.kill()
		d = r.recovered()
		if s := d.Services[0]; s.Connections != len(list) || s.Accepted != uint64(len(list)) || s.Recovered != uint64(len(list)) || len(s.Unprotected) > 0 {
			t.Errorf("%+v", s)
		}
		r.kernelHas(len(list))
		for _, c := range list {
			c.echo("after")
		}
	})
}
