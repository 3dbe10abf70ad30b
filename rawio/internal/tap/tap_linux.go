package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Tap is an open tap. TryReadBatch serves one goroutine at a time; the other
// methods may be called from any.
//
// Its descriptor is not in the runtime's poller, unlike a net.Conn's: there,
// each packet would wake a thread, whether anybody waits for it or not. Here a
// packet that arrives while nobody is in Wait costs no more than its copy.
type Tap struct {
	fd   int
	wake int // eventfd: readable when closed

	mu      sync.RWMutex // guards the descriptors against Close
	closed  bool
	dropsMu sync.Mutex // guards drops
	drops   uint64
}

// Open opens a tap on all interfaces of the calling thread's network
// namespace, those included that appear later. It needs CAP_NET_RAW and, for
// more than the system's limit of buffer, CAP_NET_ADMIN.
func Open(c Config) (*Tap, error) {
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = DefaultReceiveBuffer
	}
	// Protocol 0 receives nothing: only Bind starts the flow, when the filter
	// is in place, so that no packet of another port is ever seen.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("tap: %w", err)
	}
	if err := configure(fd, c); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("tap: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("tap: %w", err)
	}
	return &Tap{fd: fd, wake: wake}, nil
}

func configure(fd int, c Config) error {
	if c.Filter != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, c.Filter.FD()); err != nil {
			return fmt.Errorf("attach filter: %w", err)
		}
	}
	for _, o := range []struct {
		level, name int
		what        string
	}{
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, "ignore outgoing packets (Linux 4.20)"},
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, "auxiliary data"},
		{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, "timestamps"},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, 1); err != nil {
			return fmt.Errorf("%s: %w", o.what, err)
		}
	}
	if err := setReadBuffer(fd, c.ReceiveBuffer); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL)})
}

// setReadBuffer exceeds the system's limit if it may.
func setReadBuffer(fd, bytes int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
}

// Wait blocks until a packet is there, or something to read at one of the other
// descriptors. After Close, and when Close is called meanwhile, the error is
// net.ErrClosed.
func (t *Tap) Wait(others ...int) error { return t.poll(nil, append(others, t.fd)...) }

// Pause blocks for d, or until there is something to read at one of the
// descriptors or Close is called; packets do not end it.
func (t *Tap) Pause(d time.Duration, descriptors ...int) error {
	ts := unix.NsecToTimespec(int64(d))
	return t.poll(&ts, descriptors...)
}

// poll waits for Close and for the descriptors. t.fd may be one of them: it is
// not closed while poll runs.
func (t *Tap) poll(timeout *unix.Timespec, descriptors ...int) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return net.ErrClosed
	}
	var room [4]unix.PollFd
	fds := append(room[:0], unix.PollFd{Fd: int32(t.wake), Events: unix.POLLIN})
	for _, fd := range descriptors {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		_, err := ppoll(fds, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("tap: %w", err)
		case fds[0].Revents != 0:
			return net.ErrClosed
		}
		return nil
	}
}

// short is how long the calling thread may sleep without a word to the Go
// runtime. For a pause that ends soon, giving up the processor that the runtime
// has lent to it and asking for another one costs more than it brings.
const short = 200 * time.Microsecond

// ppoll is ppoll(2). It leaves the time that remains in timeout.
func ppoll(fds []unix.PollFd, timeout *unix.Timespec) (int, error) {
	if timeout == nil || timeout.Nano() > int64(short) {
		return unix.Ppoll(fds, timeout, nil)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// TryReadBatch takes what has queued up, as far as the batch has room, and
// returns how many packets that was (len(b.Packets)), 0 if there were none.
// Packets for other hosts, which a promiscuous interface shows, are passed over
// as the kernel passes them over. After Close the error is net.ErrClosed.
//
// The kernel turns receive timestamps on a few milliseconds after the first
// socket has asked for them; until then Packet.Time is the time of the reading.
func (t *Tap) TryReadBatch(b *Batch) (int, error) {
	return t.tryRead(b, (*buffers).receive)
}

// TryReadSplit is TryReadBatch for one packet, of which all but the first
// header bytes go to rest: so the payload of a packet that is expected can be
// received where it is to stay. rest has room for at least one byte. It is
// Packet.Rest, as far as it was filled, and has been overwritten whatever the
// packet is; a packet of more than header+len(rest) bytes is in one piece all the
// same, as if it had been joined.
func (t *Tap) TryReadSplit(b *Batch, header int, rest []byte) (int, error) {
	return t.tryRead(b, func(s *buffers, fd int) (int, error) { return s.receiveSplit(fd, header, rest) })
}

func (t *Tap) tryRead(b *Batch, receive func(*buffers, int) (int, error)) (int, error) {
	if b.sys == nil {
		sys, err := newBuffers(b.capacity())
		if err != nil {
			return 0, fmt.Errorf("tap: memory for packets: %w", err)
		}
		b.sys = sys
	}
	b.Packets = b.Packets[:0]
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return 0, net.ErrClosed
	}
	for len(b.Packets) == 0 {
		n, err := receive(b.sys, t.fd)
		switch err {
		case nil:
			b.Packets = b.sys.packets(b.Packets, n)
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("tap: %w", err)
		}
	}
	return len(b.Packets), nil
}

// ReadBatch waits for packets and takes them.
func (t *Tap) ReadBatch(b *Batch) (int, error) {
	for {
		if n, err := t.TryReadBatch(b); n > 0 || err != nil {
			return n, err
		}
		if err := t.Wait(); err != nil {
			return 0, err
		}
	}
}

// Drops returns how many packets the filter had accepted and the full receive
// buffer lost, since Open.
func (t *Tap) Drops() (uint64, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.dropsMu.Lock()
	defer t.dropsMu.Unlock()
	if t.closed {
		return t.drops, net.ErrClosed
	}
	// Reading the kernel's counter resets it.
	s, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return t.drops, fmt.Errorf("tap: %w", err)
	}
	t.drops += uint64(s.Drops)
	return t.drops, nil
}

// Close ends the tap and unblocks Wait and Pause.
func (t *Tap) Close() error {
	if !t.interrupt() {
		return nil
	}
	t.mu.Lock() // when nobody polls any more
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return errors.Join(unix.Close(t.fd), unix.Close(t.wake))
}

// interrupt makes Wait and Pause return. It reports whether the tap was open.
func (t *Tap) interrupt() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.closed {
		_, _ = unix.Write(t.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd that is full is readable too
	}
	return !t.closed
}

// htons returns v as a big-endian number in the machine's order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
