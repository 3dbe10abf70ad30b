package rawiotest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"golang.org/x/sys/unix"
)

// host is a server host under test: a Stack or the kernel.
type host interface {
	// send delivers a segment of the peer's and returns what the host sends in
	// reply; a nil segment only collects what the host has sent.
	send(p *Packet) []*Packet
	listen(server netip.AddrPort) (closer func())
	accept() hostSocket
	// connect begins a connection to the peer, with keepalive probes after so many seconds.
	connect(server, peer netip.AddrPort, idle int) hostSocket
	wait(time.Duration)
	destroy(peer, server netip.AddrPort) bool // SOCK_DESTROY; false: no such socket
	cookies(Cookies)
}

type hostSocket interface {
	write(n int)
	read(n int) string // "5 bytes", "EOF", "reset", "nothing"
	shutdown()
	close()
	abort()
}

// modelHost is a Stack.
type modelHost struct {
	t    testing.TB
	c    *Clock
	st   *Stack
	p    *Process
	l    *Listener
	sent []*Packet
}

func newModelHost(t testing.TB) *modelHost {
	h := &modelHost{t: t, c: NewClock()}
	h.st = NewStack(h.c, Config{Seed: 5, StrictEcho: true, Output: func(p *Packet) { h.sent = append(h.sent, p) }})
	h.p = h.st.NewProcess()
	return h
}

func (h *modelHost) send(p *Packet) []*Packet {
	if p != nil {
		h.st.Input(p.Clone())
	}
	h.c.Run(0, nil) // what is delayed comes later, in the kernel too
	sent := h.sent
	h.sent = nil
	return sent
}

func (h *modelHost) listen(server netip.AddrPort) func() {
	var err error
	if h.l, err = h.p.Listen(server); err != nil {
		h.t.Fatal(err)
	}
	return h.l.Close
}

func (h *modelHost) accept() hostSocket {
	s := h.l.Accept()
	if s == nil {
		h.t.Fatal("nothing to accept")
	}
	return modelSocket{h.t, s}
}

func (h *modelHost) connect(server, peer netip.AddrPort, idle int) hostSocket {
	s, err := h.p.Connect(server, peer)
	if err != nil {
		h.t.Fatal(err)
	}
	s.SetKeepAlive(time.Duration(idle)*time.Second, time.Minute, 9)
	return modelSocket{h.t, s}
}

func (h *modelHost) cookies(c Cookies) { h.st.config.Cookies = c }

func (h *modelHost) wait(d time.Duration) { h.c.Run(d, nil) }

func (h *modelHost) destroy(peer, server netip.AddrPort) bool {
	return h.st.Destroy(server, peer) == nil
}

type modelSocket struct {
	t testing.TB
	s *Socket
}

func (m modelSocket) write(n int) {
	if _, err := m.s.Send(make([]byte, n)); err != nil {
		m.t.Fatal(err)
	}
}

func (m modelSocket) read(n int) string {
	got, err := m.s.Recv(make([]byte, n))
	switch {
	case err == nil:
		return fmt.Sprintf("%d bytes", got)
	case errors.Is(err, ErrWouldBlock):
		return "nothing"
	case errors.Is(err, ErrReset):
		return "reset"
	case errors.Is(err, ErrAborted):
		return "aborted"
	}
	return err.Error()
}

func (m modelSocket) shutdown() { m.s.CloseWrite() }
func (m modelSocket) close()    { m.s.Close() }
func (m modelSocket) abort()    { m.s.Abort() }

// kernelHost is the kernel of a lab's server namespace. The peer has an
// address of the client's network that no interface owns, so that the client's
// kernel takes no part.
type kernelHost struct {
	t             testing.TB
	lab           *netlab.Lab
	raw, tap      int // to the server, and what comes back
	peer, fence   netip.AddrPort
	listener      int
	fenceSequence uint32
	files         map[int]bool // open sockets of the server
}

var kernelPeer = netip.MustParseAddr("10.77.0.9")

// newKernelHost must be called, and the host used, on one goroutine: the
// replies come back in order because all is done on one CPU.
func newKernelHost(t testing.TB, lab *netlab.Lab, port uint16) *kernelHost {
	h := &kernelHost{t: t, lab: lab, files: map[int]bool{}, peer: netip.AddrPortFrom(kernelPeer, port), fence: netip.AddrPortFrom(netlab.Server4, 9)}
	runtime.LockOSThread() // left locked: the affinity ends with the thread
	var cpus unix.CPUSet
	cpus.Set(0)
	h.try(unix.SchedSetaffinity(0, &cpus))
	h.try(lab.Client.Run(func() (err error) {
		ifi, err := net.InterfaceByName(netlab.ClientLink)
		if err != nil {
			return err
		}
		if h.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		if h.tap, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		out, err := lab.Server.Command("ip", "neigh", "replace", kernelPeer.String(),
			"lladdr", ifi.HardwareAddr.String(), "dev", netlab.ServerLink).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		ip := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
		return errors.Join(
			unix.SetsockoptInt(h.tap, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptTimeval(h.tap, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.Bind(h.tap, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: ifi.Index}),
		)
	}))
	t.Cleanup(func() {
		unix.Close(h.raw)
		unix.Close(h.tap)
		for fd := range h.files {
			unix.Close(fd)
		}
	})
	return h
}

func (h *kernelHost) try(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *kernelHost) put(p *Packet) {
	b, err := p.Append(nil)
	h.try(err)
	h.try(unix.Sendto(h.raw, b, 0, &unix.SockaddrInet4{Addr: p.Dst.Addr().As4()}))
}

// send marks the end of the replies with those to a segment for a closed port.
func (h *kernelHost) send(p *Packet) (replies []*Packet) {
	if p != nil {
		h.put(p)
	}
	h.fenceSequence++
	f := &Packet{}
	f.Src, f.Dst, f.Flags, f.Ack = netip.AddrPortFrom(kernelPeer, 1), h.fence, segment.ACK, h.fenceSequence
	h.put(f)
	var d segment.Decoder
	for {
		buf := make([]byte, 1<<16)
		n, _, err := unix.Recvfrom(h.tap, buf, 0)
		h.try(err)
		r := &Packet{}
		if d.Decode(buf[:n], segment.ChecksumTrusted, &r.Segment) != nil || r.Dst.Addr() != kernelPeer {
			continue
		}
		if r.Src == h.fence {
			if r.Seq == h.fenceSequence {
				return replies
			}
			continue
		}
		if r.Dst == h.peer {
			replies = append(replies, r)
		}
	}
}

func (h *kernelHost) listen(server netip.AddrPort) func() {
	h.try(h.lab.Server.Run(func() (err error) {
		if h.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(h.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.Bind(h.listener, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}),
			unix.Listen(h.listener, 100),
		)
	}))
	return h.file(h.listener).close
}

func (h *kernelHost) accept() hostSocket {
	fd, _, err := unix.Accept4(h.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	h.try(err)
	return h.file(fd)
}

func (h *kernelHost) connect(server, peer netip.AddrPort, idle int) hostSocket {
	fd := -1
	h.try(h.lab.Server.Run(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}); err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(peer.Port()), Addr: peer.Addr().As4()})
		if errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
		return errors.Join(err,
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle))
	}))
	return h.file(fd)
}

func (h *kernelHost) cookies(c Cookies) {
	h.try(h.lab.Server.Sysctl("ipv4/tcp_syncookies", map[Cookies]string{CookiesWhenFull: "1", CookiesAlways: "2"}[c]))
}

// wait lets the kernel's timers have their turn.
func (h *kernelHost) wait(d time.Duration) { time.Sleep(d) }

func (h *kernelHost) file(fd int) kernelSocket {
	h.files[fd] = true
	return kernelSocket{h, fd}
}

func (h *kernelHost) destroy(peer, server netip.AddrPort) bool {
	err := h.lab.Server.Run(func() error { return sockdiag.Destroy(segment.Flow{Client: peer, Server: server}) })
	if err != nil && !errors.Is(err, sockdiag.ErrNotFound) {
		h.t.Fatal(err)
	}
	return err == nil
}

type kernelSocket struct {
	h  *kernelHost
	fd int
}

func (k kernelSocket) write(n int) {
	_, err := unix.Write(k.fd, make([]byte, n))
	k.h.try(err)
}

func (k kernelSocket) read(n int) string {
	got, err := unix.Read(k.fd, make([]byte, n))
	switch {
	case errors.Is(err, unix.EAGAIN):
		return "nothing"
	case errors.Is(err, unix.ECONNRESET):
		return "reset"
	case errors.Is(err, unix.ECONNABORTED):
		return "aborted"
	case err != nil:
		return err.Error()
	case got == 0:
		return "EOF"
	}
	return fmt.Sprintf("%d bytes", got)
}

func (k kernelSocket) shutdown() { k.h.try(unix.Shutdown(k.fd, unix.SHUT_WR)) }
func (k kernelSocket) close() {
	delete(k.h.files, k.fd)
	k.h.try(unix.Close(k.fd))
}
func (k kernelSocket) abort() {
	k.h.try(unix.SetsockoptLinger(k.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	k.close()
}
