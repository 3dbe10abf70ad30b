package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// ending is a way in which a server ends a connection, and what must come of it.
type ending struct {
	name string
	data bool // the client has sent something that nobody reads
	// prepare is done while the connection is not yet judged.
	prepare []string
	// end returns the process that crashes, or 0.
	end func(t *testing.T, s *server) int

	released gate.Released
	// events are what is reported, in this order.
	events []gate.EventKind
	code   int   // of EventCrashed
	client error // what the client sees
}

// What a client sees.
var (
	errNothing = errors.New("nothing: the connection is open")
	errEnd     = errors.New("the end of the stream")
	errReset   = unix.ECONNRESET
)

func endings() []ending {
	do := func(command string) func(*testing.T, *server) int {
		return func(t *testing.T, s *server) int { s.do(t, command); return 0 }
	}
	end := func(command string) func(*testing.T, *server) int {
		return func(t *testing.T, s *server) int { s.send(t, command); return s.pid() }
	}
	exec := func(t *testing.T, s *server) int { s.send(t, "exec"); return 0 }
	signal := func(sig os.Signal) func(*testing.T, *server) int {
		return func(t *testing.T, s *server) int { must(t, s.cmd.Process.Signal(sig)); return s.pid() }
	}
	kill := signal(unix.SIGKILL)
	crashed := []gate.EventKind{gate.EventCrashed, gate.EventFINHeld}
	accept := []string{"accept"}
	return []ending{
		{name: "close", prepare: accept, end: do("close"), released: gate.ReleasedClosed, client: errEnd},
		{name: "shutdown", prepare: accept, end: do("shutdown"), released: gate.ReleasedNo, client: errEnd},
		{name: "exit 0", prepare: accept, end: end("exit 0"), released: gate.ReleasedClosed, client: errEnd},
		{name: "exit 3", prepare: accept, end: end("exit 3"), released: gate.ReleasedCrashed, events: crashed, code: 3 << 8, client: errNothing},
		{name: "SIGKILL", prepare: accept, end: kill, released: gate.ReleasedCrashed, events: crashed, code: 9, client: errNothing},
		{
			name: "SIGTERM that nobody handles", prepare: accept,
			end:      signal(unix.SIGTERM),
			released: gate.ReleasedCrashed, events: crashed, code: 15, client: errNothing,
		},
		{name: "SIGKILL after shutdown", prepare: append(accept, "shutdown"), end: kill, released: gate.ReleasedCrashed,
			events: []gate.EventKind{gate.EventCrashed}, code: 9, client: errEnd},
		{name: "exec", prepare: accept, end: exec, released: gate.ReleasedClosed, client: errEnd},
		{
			name: "SIGKILL of a child whose parent has the connection too", prepare: accept,
			end:      func(t *testing.T, s *server) int { return killChild(t, s.do(t, "child")) },
			released: gate.ReleasedNo, client: errNothing,
		},
		{
			name: "and then close", prepare: accept, released: gate.ReleasedClosed, client: errEnd,
			end: func(t *testing.T, s *server) int {
				killChild(t, s.do(t, "child"))
				s.do(t, "close")
				return 0
			},
		},
		{
			name: "SIGKILL of the child that alone has the connection", prepare: accept,
			released: gate.ReleasedCrashed, events: crashed, code: 9, client: errNothing,
			end: func(t *testing.T, s *server) int {
				child := s.do(t, "child")
				s.do(t, "close")
				return killChild(t, child)
			},
		},
		{name: "close with unread data", data: true, prepare: append(accept, "wait"), end: do("close"), released: gate.ReleasedClosed,
			events: []gate.EventKind{gate.EventRSTSent}, client: errReset},
		{name: "SIGKILL with unread data", data: true, prepare: append(accept, "wait"), end: kill, released: gate.ReleasedCrashed,
			events: []gate.EventKind{gate.EventCrashed, gate.EventRSTHeld}, code: 9, client: errNothing},
		{name: "linger 0", prepare: append(accept, "linger"), end: do("close"), released: gate.ReleasedClosed,
			events: []gate.EventKind{gate.EventRSTSent}, client: errReset},
		{name: "linger 0 and SIGKILL", prepare: append(accept, "linger"), end: kill, released: gate.ReleasedCrashed,
			events: []gate.EventKind{gate.EventCrashed, gate.EventRSTHeld}, code: 9, client: errNothing},
		{name: "SIGKILL before accept", end: kill, released: gate.ReleasedCrashed,
			events: []gate.EventKind{gate.EventCrashed}, code: 9, client: errNothing},
		{name: "exit 0 before accept", end: end("exit 0"), released: gate.ReleasedNo, events: []gate.EventKind{gate.EventRSTSent}, client: errReset},
		{name: "close of the listener before accept", end: do("close-listener"), released: gate.ReleasedNo,
			events: []gate.EventKind{gate.EventRSTSent}, client: errReset},
	}
}

func haveMPTCP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// killChild returns when the process has released its files: a zombie has none.
func killChild(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
	must(t, err)
	return pid
}

// TestRelease has real server processes end a connection in all ways, over both
// families, over IPv4 on a socket of IPv6, and on one of MPTCP.
func TestRelease(t *testing.T) {
	l := newLab(t)
	g := watchedGate(t)
	must(t, g.Attach(l.a))
	for _, way := range []struct{ name, listen, dial, protocol string }{
		{"IPv4", "10.77.0.1", "10.77.0.1", "tcp"},
		{"IPv6", "fd77::1", "fd77::1", "tcp"},
		{"mapped", "::", "10.77.0.1", "tcp"},
		{"MPTCP", "10.77.0.1", "10.77.0.1", "mptcp"},
	} {
		for _, e := range endings() {
			t.Run(way.name+"/"+e.name, func(t *testing.T) {
				l.enter(t)
				if way.protocol == "mptcp" && !haveMPTCP() {
					testenv.Missing(t, "no MPTCP here")
				}
				t.Setenv(serverProtocol, way.protocol)
				e.check(t, l, g, netip.MustParseAddr(way.listen), netip.MustParseAddr(way.dial))
			})
		}
	}
}

func (e ending) check(t *testing.T, l *lab, g *Gate, listen, dial netip.Addr) {
	const slot = 2
	s := startServer(t, netip.AddrPortFrom(listen, servicePort))
	fd := l.clientSocket(t, dial)
	client := connect(t, fd, dial).(*net.TCPConn)
	defer client.Close()
	if e.data {
		_, err := client.Write([]byte("x"))
		must(t, err)
	}
	protect := func() {
		liveState(t, client).store(g.Slot(slot))
		must(t, g.Bind(flowFrom(client), slot))
		must(t, g.SetService(servicePort, gate.ServiceListen, true))
	}
	last := len(e.prepare) - 1
	for i, command := range e.prepare {
		if i == last && command == "shutdown" { // it sends what is to be judged
			protect()
		}
		s.do(t, command)
	}
	if g.Slot(slot).Mode() != gate.ModeLive {
		protect()
	}
	defer func() {
		must(t, g.DeleteService(servicePort))
		must(t, g.Unbind(flowFrom(client)))
		g.Slot(slot).Reset()
		for g.Events().ring.AvailableBytes() > 0 { // of a FIN that was repeated just before
			_, err := g.readEvent(context.Background())
			must(t, err)
		}
	}()
	before, err := g.Stats()
	must(t, err)

	pid := e.end(t, s)

	if got := whatComes(t, client, e.client); got != e.client {
		t.Errorf("the client sees %v, want %v", got, e.client)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	held, repeated := uint64(0), uint64(0)
	for i, want := range e.events {
		ev, err := g.readEvent(ctx)
		must(t, err)
		if ev.Kind != want || ev.Slot != slot {
			t.Fatalf("event %d: %v of slot %d, want %v", i, ev.Kind, ev.Slot, want)
		}
		switch ev.Kind {
		case gate.EventCrashed:
			if ev.Code != e.code || ev.PID == 0 || ev.IfIndex != 0 || len(ev.Packet) != 0 || ev.Ktime == 0 {
				t.Errorf("%+v, want code %#x", ev, e.code)
			}
			if ev.PID != pid {
				t.Errorf("crash of process %d, not %d", ev.PID, pid)
			}
		case gate.EventFINHeld, gate.EventRSTHeld:
			held++
		}
	}
	if pid == s.pid() {
		_ = s.cmd.Wait() // it ends as it was told to
	}
	if got := g.Slot(slot).Released(); got != e.released {
		t.Errorf("released: %v, want %v", got, e.released)
	}
	for g.Events().ring.AvailableBytes() > 0 {
		ev, err := g.readEvent(ctx)
		if err != nil || ev.Kind != gate.EventFINHeld || !slices.Contains(e.events, gate.EventFINHeld) {
			t.Errorf("one more event: %+v, %v", ev, err)
			break
		}
		repeated++ // nobody acknowledges it
	}
	// What nobody accepted is held without a report of its own.
	if e.client == errNothing && e.released == gate.ReleasedCrashed && held == 0 {
		held = 1
	}
	after, err := g.Stats()
	must(t, err)
	stats := minus(after, before)
	if got := stats.FINHeld + stats.RSTHeld; got < held+repeated || got > held && !slices.Contains(e.events, gate.EventFINHeld) {
		t.Errorf("%d FINs and RSTs held, want %d and %d repetitions", got, held, repeated)
	}
	want := uint64(0)
	if e.released == gate.ReleasedCrashed {
		want = 1
	}
	if stats.Crashed != want {
		t.Errorf("%d crashes counted, want %d", stats.Crashed, want)
	}
}

// whatComes waits for what the client is to see. If that is nothing, it looks
// whether it is nothing so far: what is held never comes.
func whatComes(t *testing.T, client *net.TCPConn, want error) error {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	if want == errNothing {
		deadline = time.Now().Add(20 * time.Millisecond)
	}
	must(t, client.SetReadDeadline(deadline))
	_, err := client.Read(make([]byte, 1))
	switch {
	case os.IsTimeout(err):
		return errNothing
	case err == nil:
		return errors.New("data")
	case errors.Is(err, errReset):
		return errReset
	}
	return errEnd
}

func flowFrom(client net.Conn) segment.Flow {
	ap := func(a net.Addr) netip.AddrPort {
		ap := a.(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return segment.Flow{Client: ap(client.LocalAddr()), Server: ap(client.RemoteAddr())}
}

// liveState is the slot of a connection that was not judged from its start: the
// client's socket says where its numbers are.
func liveState(t *testing.T, client *net.TCPConn) slotState {
	t.Helper()
	raw, err := client.SyscallConn()
	must(t, err)
	var sent, received int
	must(t, raw.Control(func(fd uintptr) {
		sent, received = queueSeqs(t, int(fd))
	}))
	return slotState{
		Mode: gate.ModeLive, Flags: gate.FlagUnmodified | gate.FlagTS | gate.FlagSACK, Gen: 7,
		Stable: uint32(sent) + 1<<30, High: uint32(sent) + 1<<30, SndNxt: uint32(received),
	}
}

// queueSeqs returns the numbers behind the last byte that the socket has sent and
// received (TCP_REPAIR).
func queueSeqs(t *testing.T, fd int) (sent, received int) {
	t.Helper()
	const off, receiveQueue, sendQueue = -1, 1, 2
	must(t, unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, 1))
	for queue, seq := range map[int]*int{sendQueue: &sent, receiveQueue: &received} {
		must(t, unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue))
		n, err := unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
		must(t, err)
		*seq = n
	}
	must(t, unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, off))
	return sent, received
}
