package e2e

import (
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// bulkServers are the bulk server with ftnet and without.
var bulkServers = []struct {
	name    string
	options options
	args    []string
}{
	{"north", options{flags: []string{"--quota", "100MiB"}}, []string{"-listen", ":7001"}},
	{"unmodified", unmodifiedOptions(7001, "--quota", "100MiB"), []string{"-plain", "-listen", ":7001"}},
}

// link changes an interface of a namespace.
func link(t testing.TB, ns *netlab.Namespace, name string, change func(netlink.Link) error) {
	t.Helper()
	if err := ns.Run(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return change(l)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestBigTCP: packets of more than 64 KiB, merged by GRO or made by the server, are
// logged, compared and repeated like others.
func TestBigTCP(t *testing.T) {
	const size = 185_000
	testenv.RequireRoot(t)
	for _, server := range bulkServers {
		for _, f := range families[:2] {
			t.Run(server.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, server.options)
				for _, end := range []struct {
					ns   *netlab.Namespace
					link string
				}{{r.lab.Client, netlab.ClientLink}, {r.lab.Server, netlab.ServerLink}} {
					link(t, end.ns, end.link, func(l netlink.Link) error {
						return errors.Join(netlink.LinkSetGSOMaxSize(l, size), netlink.LinkSetGROMaxSize(l, size),
							netlink.LinkSetGSOIPv4MaxSize(l, size), netlink.LinkSetGROIPv4MaxSize(l, size))
					})
				}
				r.spawn(server.options, "bulk", server.args...)
				for name, move := range map[string]move{"upload": workload.Upload, "download": workload.Download} {
					to, at := r.lab.Server, netlab.ServerLink
					if name == "download" {
						to, at = r.lab.Client, netlab.ClientLink
					}
					arrived, err := capture.Start(to, at, filepath.Join(t.TempDir(), "arrived.pcapng"), 128)
					if err != nil {
						t.Fatal(err)
					}
					transferOver(r, f, move, 16<<20, 2)
					if stats, err := arrived.Stop(); err != nil || stats.Largest <= 66000 {
						t.Errorf("%s: the largest packet had %d bytes, %v", name, stats.Largest, err)
					}
				}
				d, err := r.status()
				if err != nil {
					t.Fatal(err)
				}
				if len(d.Services[0].Unprotected) != 0 || d.Tap.Invalid != 0 {
					t.Errorf("unprotected: %v; %+v", d.Services[0].Unprotected, d.Tap)
				}
			})
		}
	}
}

// TestFragments: what a client sends through a network that cuts its packets is
// followed, before and after a crash, also if parts are lost or overtake each other.
func TestFragments(t *testing.T) {
	testenv.RequireRoot(t)
	for _, server := range bulkServers {
		for _, f := range families[:2] {
			t.Run(server.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				o := server.options
				o.lab.Impair = &netlab.Impair{Seed: 9, Loss: 0.002, Duplicate: 0.005, Reorder: 0.005, Fragment: 1000}
				r := start(t, o, "bulk", server.args...)
				transferOver(r, f, workload.Upload, 5<<20, 3)
				d, err := r.status()
				if err != nil {
					t.Fatal(err)
				}
				if len(d.Services[0].Unprotected) != 0 || d.Tap.Fragments < 5<<20/1000 {
					t.Errorf("unprotected: %v; %+v", d.Services[0].Unprotected, d.Tap)
				}
			})
		}
	}
}

// TestUnseenPackets: a client whose data reaches the kernel in packets that nobody
// else understands is let go of, and its upload ends.
func TestUnseenPackets(t *testing.T) {
	testenv.RequireRoot(t)
	for _, server := range bulkServers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			o := server.options
			o.lab.Impair = &netlab.Impair{Seed: 9, Extensions: 9}
			r := prepare(t, o)
			link(t, r.lab.Client, netlab.ClientLink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
			r.spawn(o, "bulk", server.args...)
			transferOver(r, families[1], workload.Upload, 1<<20, 0)
			r.check(func(s *status.Service) bool { return s.Unprotected[string(reason.Unseen)] == 1 })
		})
	}
}

// sendUrgent sends a byte of urgent data.
func (c *client) sendUrgent() {
	c.t.Helper()
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("X"), unix.MSG_OOB, nil) })
	if cerr != nil || err != nil {
		c.t.Fatal(cerr, err)
	}
}

// TestUrgentData: a connection with urgent data goes on, unprotected, and the reason
// is said before a crash ends it. Others survive that.
func TestUrgentData(t *testing.T) {
	testenv.RequireRoot(t)
	for name, open := range map[string]func(testing.TB) *rig{
		"north":      func(t testing.TB) *rig { return probe(t, options{}) },
		"unmodified": func(t testing.TB) *rig { return modeProbe(t, "plain", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			count := uint64(0)
			lost := func(c *client) {
				t.Helper()
				count++
				r.waitStatus("the reason is said", func(d *status.Document) bool {
					return d.Services[0].Unprotected[string(reason.Urgent)] == count
				})
				c.echo("still here")
			}
			other := r.dial()
			other.echo("hello")
			mine := r.dial()
			mine.echo("ab")
			if _, err := mine.Write([]byte("ec")); err != nil {
				t.Fatal(err)
			}
			mine.sendUrgent()
			mine.send("ho c")
			mine.expect("c") // the stack has taken the byte out
			lost(mine)
			server := r.dial()
			server.send("urgent")
			server.expect("said")
			lost(server)
			r.crash()
			for _, c := range []*client{mine, server} {
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if b, err := c.in.ReadByte(); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
					t.Errorf("an unprotected client reads %q, %v", b, err)
				}
			}
			// A recovered connection: translated, it goes on.
			other.echo("hello again")
			other.sendUrgent()
			other.echo("and on")
			lost(other)
			if n := r.countOutput(string(reason.Urgent), 3); n != 3 {
				t.Errorf("the log says %d times why", n)
			}
			r.check(func(s *status.Service) bool { return s.Mismatches == 0 })
		})
	}
}
