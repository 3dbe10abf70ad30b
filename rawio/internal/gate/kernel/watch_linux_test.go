package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// pair is a TCP connection over loopback in the calling thread's network
// namespace; the ends are descriptors that nothing else has.
type pair struct {
	server, client int
	flow           segment.Flow
}

// pairs makes connections on a port of 127.0.0.1.
type pairs struct{ listener int }

func listenPairs(t testing.TB, port uint16) pairs {
	t.Helper()
	fd, err := listenOn(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	must(t, err)
	return pairs{fd}
}

func (p pairs) close() { unix.Close(p.listener) }

func (p pairs) connect(t testing.TB) pair {
	t.Helper()
	to, err := unix.Getsockname(p.listener)
	must(t, err)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(client, to))
	server, from, err := unix.Accept4(p.listener, unix.SOCK_CLOEXEC)
	must(t, err)
	return pair{server, client, segment.Flow{Client: addrPort(from), Server: addrPort(to)}}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	in := sa.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
}

// watchedGate is a gate that notes releases, until the test ends.
func watchedGate(t *testing.T) *Gate {
	t.Helper()
	g := loadGate(t, 4)
	must(t, g.WatchReleases())
	return g
}

// TestReleaseIgnores: what is not an unmodified service's of this namespace is
// none of the gate's business. Closing is over when the call returns, so nothing
// has to be waited for.
func TestReleaseIgnores(t *testing.T) {
	l := newLab(t)
	g := watchedGate(t)
	must(t, g.WatchReleases()) // again is no error
	for _, c := range []struct {
		name      string
		elsewhere bool
		service   func() error
		unbound   bool
		mode      gate.Mode
		want      gate.Released
	}{
		{name: "service", mode: gate.ModeLive, want: gate.ReleasedClosed},
		{name: "roll-forward", mode: gate.ModeRoll, want: gate.ReleasedClosed},
		{name: "outage", mode: gate.ModeOutage, want: gate.ReleasedClosed},
		{name: "other namespace", elsewhere: true, mode: gate.ModeLive},
		{name: "modified server", service: func() error { return g.SetService(servicePort, gate.ServiceListen, false) }, mode: gate.ModeLive},
		{name: "other port", service: func() error { return g.DeleteService(servicePort) }, mode: gate.ModeLive},
		{name: "unknown flow", unbound: true, mode: gate.ModeLive},
		{name: "free slot", mode: gate.ModeFree},
		{name: "open", mode: gate.ModeOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.enter(t)
			if c.elsewhere {
				must(t, netns.Set(l.client))
			}
			must(t, g.SetService(servicePort, gate.ServiceListen, true))
			if c.service != nil {
				must(t, c.service())
			}
			ps := listenPairs(t, servicePort)
			p := ps.connect(t)
			slotState{Mode: c.mode}.store(g.Slot(1))
			if !c.unbound {
				must(t, g.Bind(p.flow, 1))
			}
			ps.close()
			if got := g.Slot(1).Released(); got != gate.ReleasedNo {
				t.Errorf("after the listener's close: %v", got)
			}
			must(t, unix.Close(p.client))
			if got := g.Slot(1).Released(); got != gate.ReleasedNo {
				t.Errorf("after the client's close: %v", got)
			}
			must(t, unix.Close(p.server))
			if got := g.Slot(1).Released(); got != c.want {
				t.Errorf("after the server's close: %v, want %v", got, c.want)
			}
			must(t, g.Unbind(p.flow))
		})
	}
	// A server may crash at any moment, one in which the engine begins to let its packets
	// through as well: what was noted of that must not be lost.
	g.Slot(1).SetReleased(gate.ReleasedCrashed)
	g.Slot(1).ResetGate()
	g.Slot(1).NoteRelease()
	if got := g.Slot(1).Released(); got != gate.ReleasedCrashed {
		t.Errorf("after ResetGate: %v", got)
	}
	g.Slot(1).Reset()
	if got := g.Slot(1).Released(); got != gate.ReleasedNo {
		t.Errorf("after Reset: %v", got)
	}
}

// TestReleaseUnwatched: without the program, and after Close, nothing is noted.
func TestReleaseUnwatched(t *testing.T) {
	newLab(t)
	g := loadGate(t, 4)
	must(t, g.SetService(servicePort, gate.ServiceListen, true))
	ps := listenPairs(t, servicePort)
	defer ps.close()
	p := ps.connect(t)
	must(t, g.Bind(p.flow, 1))
	slotState{Mode: gate.ModeLive, Flags: gate.FlagUnmodified}.store(g.Slot(1))
	must(t, unix.Close(p.server))
	must(t, unix.Close(p.client))
	if got := g.Slot(1).Released(); got != gate.ReleasedNo {
		t.Errorf("released: %v", got)
	}
	other := loadGate(t, 4)
	must(t, other.Close())
	if err := other.WatchReleases(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("watching after close: %v", err)
	}
}

// watchedServer is a gate that watches releases, and a server that has accepted a client's
// connection, which is protected and has slot 2.
func watchedServer(t *testing.T) (*Gate, *server, *net.TCPConn) {
	t.Helper()
	l := newLab(t)
	g := watchedGate(t)
	must(t, g.Attach(l.a))
	addr := netip.MustParseAddr("10.77.0.1")
	s := startServer(t, netip.AddrPortFrom(addr, servicePort))
	client := connect(t, l.clientSocket(t, addr), addr).(*net.TCPConn)
	t.Cleanup(func() { client.Close() })
	s.do(t, "accept")
	must(t, g.SetService(servicePort, gate.ServiceListen, true))
	liveState(t, client).store(g.Slot(2))
	must(t, g.Bind(flowFrom(client), 2))
	return g, s, client
}

// TestReleaseByKernel: an io_uring's registered files are released by a kernel
// thread, after the process that died of SIGKILL has gone.
func TestReleaseByKernel(t *testing.T) {
	g, s, _ := watchedServer(t)
	if s.do(t, "register") != 0 {
		testenv.Missing(t, "no io_uring here")
	}
	must(t, s.cmd.Process.Kill())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, want := range []gate.EventKind{gate.EventCrashed, gate.EventFINHeld} {
		ev, err := g.readEvent(ctx)
		must(t, err)
		if ev.Kind != want || ev.Slot != 2 || ev.PID != 0 || ev.Code != 0 {
			t.Errorf("event %+v, want %v", ev, want)
		}
	}
	if got := g.Slot(2).Released(); got != gate.ReleasedCrashed {
		t.Errorf("released: %v", got)
	}
}

// TestReleaseByLastThread: how a process ends is not what its last thread says of itself.
func TestReleaseByLastThread(t *testing.T) {
	g, s, client := watchedServer(t)
	s.send(t, "thread")
	_ = s.cmd.Wait() // it is killed
	if got := g.Slot(2).Released(); got != gate.ReleasedCrashed {
		t.Fatalf("released: %v", got)
	}
	if got := whatComes(t, client, errNothing); got != errNothing {
		t.Errorf("the client sees %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ev, err := g.readEvent(ctx)
	must(t, err)
	if ev.Kind != gate.EventCrashed || ev.Slot != 2 || ev.PID != s.pid() || ev.Code != 9 {
		t.Errorf("event %+v, want a crash of process %d by SIGKILL", ev, s.pid())
	}
}

// TestDetachedCgroup2: no mount is needed, given the privilege.
func TestDetachedCgroup2(t *testing.T) {
	testenv.RequireRoot(t)
	mounted, err := mountedCgroup2("/proc/thread-self/mountinfo")
	if err != nil {
		t.Log(err)
	}
	root, err := mountCgroup2()
	must(t, err)
	defer root.Close()
	var detached, attached unix.Stat_t
	must(t, unix.Fstat(int(root.Fd()), &detached))
	if mounted == "" {
		return
	}
	must(t, unix.Stat(mounted, &attached))
	if detached.Ino != attached.Ino {
		t.Errorf("the detached root is inode %d, the mounted one %d", detached.Ino, attached.Ino)
	}
}

// TestWatchUnmounted: where nobody has mounted cgroup2, the gate sees releases
// nevertheless.
func TestWatchUnmounted(t *testing.T) {
	testenv.RequireRoot(t)
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the mount namespace ends with the thread
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			for {
				path, err := mountedCgroup2("/proc/thread-self/mountinfo")
				if err != nil {
					break
				}
				if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
					return err
				}
			}
			up(t, "lo")
			g, err := Load(Config{MaxConns: 4, ID: "00000001"})
			if err != nil {
				return err
			}
			defer g.Close()
			if err := g.WatchReleases(); err != nil {
				return err
			}
			if err := g.SetService(servicePort, gate.ServiceListen, true); err != nil {
				return err
			}
			ps := listenPairs(t, servicePort)
			defer ps.close()
			p := ps.connect(t)
			defer unix.Close(p.client)
			slotState{Mode: gate.ModeLive}.store(g.Slot(1))
			if err := g.Bind(p.flow, 1); err != nil {
				return err
			}
			unix.Close(p.server)
			if got := g.Slot(1).Released(); got != gate.ReleasedClosed {
				t.Errorf("released: %v", got)
			}
			return nil
		}()
	}()
	must(t, <-done)
}

func TestMountedCgroup2(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified"},
		{"41 31 0:38 /../.. /a rw - cgroup2 none rw\n42 31 0:38 /sub /b rw - cgroup2 none rw\n43 31 0:38 / /a\\040b\\134 rw - cgroup2 none rw\n", `/a b\`},
		{"32 31 0:29 / /cgroup2 rw - cgroup cgroup2 rw\n", ""},
		{"41 31\n - cgroup2 \n", ""},
		{"", ""},
	} {
		path := filepath.Join(t.TempDir(), "mountinfo")
		must(t, os.WriteFile(path, []byte(c.lines), 0o600))
		got, err := mountedCgroup2(path)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %q, %v; want %q", c.lines, got, err, c.want)
		}
	}
	if _, err := mountedCgroup2("/nonexistent/mountinfo"); err == nil {
		t.Error("no file, no error")
	}
}

// TestPathOffset: a randomized task_struct has its members in an anonymous
// struct.
func TestPathOffset(t *testing.T) {
	inner := &btf.Struct{Members: []btf.Member{{Name: "x", Offset: 32}, {Name: "tgid", Type: &btf.Int{}, Offset: 64}}}
	members := []btf.Member{{Name: "info", Type: &btf.Int{}}, {Name: "named", Type: inner, Offset: 64}, {Type: inner, Offset: 128}}
	task := &btf.Struct{Members: members}
	if at, err := pathOffset(task, []string{"tgid"}); err != nil || at != 192 {
		t.Errorf("tgid at bit %d, %v", at, err)
	}
	if at, err := pathOffset(task, []string{"named", "tgid"}); err != nil || at != 128 {
		t.Errorf("named.tgid at bit %d, %v", at, err)
	}
	for _, path := range [][]string{{"flags"}, {"named", "flags"}, {"tgid", "x"}} {
		if _, err := pathOffset(task, path); err == nil {
			t.Errorf("found %v, which is not there", path)
		}
	}
}

func TestReleaseFeatures(t *testing.T) {
	testenv.RequireRoot(t)
	for _, f := range ReleaseFeatures() {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
	err := needs("cgroup2", "cgroup2 mounted", os.ErrNotExist)
	if !errors.Is(err, gate.ErrNotSupported) || !strings.Contains(err.Error(), "needs cgroup2 mounted") {
		t.Errorf("%v", err)
	}
}

// BenchmarkClose measures what WatchReleases adds to close(2) of a connection:
// before, for the sockets of others, and for those of a service.
func BenchmarkClose(b *testing.B) {
	testenv.RequireRoot(b)
	const batch = 512
	for _, c := range []struct {
		name              string
		watch, unmodified bool
	}{
		{"unwatched", false, false},
		{"other-port", true, false},
		{"service", true, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			keepNamespace(b)
			ns, err := netns.New()
			must(b, err)
			defer ns.Close()
			up(b, "lo")
			g, err := Load(Config{MaxConns: batch, ID: "0123abcd"})
			must(b, err)
			defer g.Close()
			if c.watch {
				must(b, g.WatchReleases())
			}
			if c.unmodified {
				must(b, g.SetService(servicePort, gate.ServiceListen, true))
			}
			ps := listenPairs(b, servicePort)
			defer ps.close()
			open := make([]pair, 0, batch)
			var closing time.Duration
			for done := 0; done < b.N; done += len(open) {
				open = open[:0]
				for i := range min(batch, b.N-done) {
					p := ps.connect(b)
					// An RST by the client leaves nothing behind, and no port in use.
					must(b, unix.SetsockoptLinger(p.client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
					slotState{Mode: gate.ModeLive}.store(g.Slot(uint32(i)))
					must(b, g.Bind(p.flow, uint32(i)))
					open = append(open, p)
				}
				start := time.Now()
				for _, p := range open {
					must(b, unix.Close(p.server))
				}
				closing += time.Since(start)
				for _, p := range open {
					must(b, unix.Close(p.client))
					must(b, g.Unbind(p.flow))
				}
			}
			b.ReportMetric(float64(closing.Nanoseconds())/float64(b.N), "ns/close")
		})
	}
}
