// Package capture records the packets of a lab's interface in a pcapng file
// and reads such files back as TCP segments, so that a test can state what
// crossed the wire and a person can open the same file in a packet viewer.
// It is not a tap for the engine: see rawio/internal/tap.
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// Whole makes a capture keep packets of any length.
const Whole = 1 << 16

// Stats says what a capture has seen.
type Stats struct {
	Packets uint64 // written to the file
	Lost    uint64 // not captured, the capture being too slow; 0 in a trustworthy file
	Largest int    // bytes of the longest packet, from its IP header on
}

// Capture is a running capture.
type Capture struct {
	fd, stop int
	snap     int
	file     *os.File
	buf      *bufio.Writer
	ng       *pcapgo.NgWriter
	stats    Stats
	done     chan error
}

// Start records both directions of an interface of the namespace to a new
// pcapng file, each packet up to snap bytes from its IP header on (Whole for
// all; 128 hold every header). Only IPv4 and IPv6 packets are kept. What the
// interface carries after Start has returned is in the file.
//
// Offloaded packets appear as the stack handles them: longer than the MTU and
// with unfinished checksums.
func Start(ns *netlab.Namespace, link, path string, snap int) (*Capture, error) {
	c := &Capture{snap: snap, done: make(chan error, 1)}
	if err := c.open(ns, link, path); err != nil {
		c.close()
		return nil, fmt.Errorf("capture on %s: %w", link, err)
	}
	go func() { c.done <- c.run() }()
	return c, nil
}

func (c *Capture) open(ns *netlab.Namespace, link, path string) (err error) {
	if c.file, err = os.Create(path); err != nil {
		return err
	}
	c.buf = bufio.NewWriterSize(c.file, 1<<20)
	intf := pcapgo.NgInterface{Name: link, LinkType: layers.LinkTypeRaw, SnapLength: uint32(c.snap), TimestampResolution: 9}
	if c.ng, err = pcapgo.NewNgWriterInterface(c.buf, intf, pcapgo.DefaultNgWriterOptions); err != nil {
		return err
	}
	if c.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return err
	}
	return ns.Run(func() error { return c.listen(link) })
}

func (c *Capture) listen(link string) (err error) {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	// Without a protocol nothing is queued before the socket is bound.
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	return errors.Join(
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128<<20),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}),
	)
}

func (c *Capture) run() error {
	data, control := make([]byte, c.snap), make([]byte, 128)
	wait := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.stop), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(wait, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		stop := wait[1].Revents != 0 // looked at before the socket is drained
		for {
			err := c.receive(data, control)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENETDOWN) {
				return err
			}
		}
		if stop {
			return nil
		}
	}
}

func (c *Capture) receive(data, control []byte) error {
	// MSG_TRUNC makes the kernel return the packet's whole length.
	n, oobn, _, from, err := unix.Recvmsg(c.fd, data, control, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil {
		return err
	}
	switch from.(*unix.SockaddrLinklayer).Protocol {
	case htons(unix.ETH_P_IP), htons(unix.ETH_P_IPV6):
	default:
		return nil
	}
	kept := data[:min(n, len(data))]
	c.stats.Packets++
	c.stats.Largest = max(c.stats.Largest, n)
	return c.ng.WritePacket(gopacket.CaptureInfo{
		Timestamp:     received(control[:oobn]),
		CaptureLength: len(kept),
		Length:        n,
	}, kept)
}

// received returns the kernel's time of the packet.
func received(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// Stop ends the capture when all packets so far are written, and closes the
// file. Only the first call does anything.
func (c *Capture) Stop() (Stats, error) {
	if c.done == nil {
		return c.stats, nil
	}
	unix.Write(c.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	err := <-c.done
	c.done = nil
	if st, e := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); e == nil {
		c.stats.Lost = uint64(st.Drops)
	}
	return c.stats, errors.Join(err, c.ng.Flush(), c.buf.Flush(), c.close())
}

func (c *Capture) close() error {
	for _, fd := range []int{c.fd, c.stop} {
		if fd > 0 {
			unix.Close(fd)
		}
	}
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
