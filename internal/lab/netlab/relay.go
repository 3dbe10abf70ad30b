package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Impair says what the relay does to TCP frames, in both directions alike but for
// Fragment and Extensions. Probabilities lie within 0..1 and are drawn for each frame
// that leaves the relay.
type Impair struct {
	// Seed of the draws. The n-th TCP frame of a direction meets the same fate
	// in every run with one seed.
	Seed uint64
	// Loss is the probability that a frame is lost.
	Loss float64
	// Duplicate is the probability that a frame arrives twice.
	Duplicate float64
	// Reorder is the probability that a frame is held back by ReorderDelay
	// while later ones pass it.
	Reorder float64
	// ReorderDelay is how long such a frame is held back. Default 1 ms.
	ReorderDelay time.Duration
	// Delay is added to every frame: half a round trip. Default 0.
	Delay time.Duration
	// Fragment is the size in bytes above which a client's IP packets leave in
	// fragments: at least 256. Default 0: none do.
	Fragment int
	// Extensions is how many IPv6 extension headers a client's packets with data get, 8
	// bytes each; the link's MTU must have the room. Default 0.
	Extensions int
}

func (i Impair) validate() error {
	for _, p := range []float64{i.Loss, i.Duplicate, i.Reorder} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("netlab: probability %v is not within 0..1", p)
		}
	}
	if i.Fragment != 0 && i.Fragment < 256 || i.Extensions < 0 {
		return fmt.Errorf("netlab: fragments of %d bytes, %d extension headers", i.Fragment, i.Extensions)
	}
	if i.Delay < 0 || i.ReorderDelay < 0 {
		return errors.New("netlab: negative delay")
	}
	return nil
}

// RelayStats counts TCP frames of both directions since the lab was opened.
type RelayStats struct {
	Seen, Lost, Duplicated, Reordered uint64
	// Overrun counts frames that the relay itself lost, being too slow.
	Overrun uint64
}

// Relay is the impairing middle of a lab.
type Relay struct {
	impair atomic.Pointer[Impair]
	stop   int // eventfd, readable once the relay is to end
	fds    [2]int
	done   sync.WaitGroup

	seen, lost, duplicated, reordered, overrun atomic.Uint64
}

// Set changes what happens to frames from now on; a changed Seed has no
// effect. It may be called at any time.
func (r *Relay) Set(i Impair) error {
	if err := i.validate(); err != nil {
		return err
	}
	if i.ReorderDelay == 0 {
		i.ReorderDelay = time.Millisecond
	}
	r.impair.Store(&i)
	return nil
}

// Stats returns the counters. It must not be called after the lab was closed.
func (r *Relay) Stats() RelayStats {
	for _, fd := range r.fds {
		// Reading the kernel's counter clears it.
		if st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			r.overrun.Add(uint64(st.Drops))
		}
	}
	return RelayStats{r.seen.Load(), r.lost.Load(), r.duplicated.Load(), r.reordered.Load(), r.overrun.Load()}
}

func openRelay(ns *Namespace, a, b string, i Impair) (*Relay, error) {
	r := &Relay{}
	if err := r.Set(i); err != nil {
		return nil, err
	}
	var err error
	if r.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, err
	}
	err = ns.Run(func() error {
		for n, link := range []string{a, b} {
			if r.fds[n], err = packetSocket(link); err != nil {
				return fmt.Errorf("open relay on %s: %w", link, err)
			}
		}
		return nil
	})
	if err != nil {
		for _, fd := range append(r.fds[:], r.stop) {
			if fd > 0 {
				unix.Close(fd)
			}
		}
		return nil, err
	}
	for n := range r.fds {
		d := &direction{relay: r, client: n == 0, from: r.fds[n], to: r.fds[1-n], rand: rand.New(rand.NewPCG(i.Seed, uint64(n)))}
		r.done.Go(d.run)
	}
	return r, nil
}

// packetSocket sends and receives whole frames of one interface.
func packetSocket(link string) (int, error) {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	const buffer = 64 << 20
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (r *Relay) close() {
	if r.stop == 0 {
		return
	}
	unix.Write(r.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	r.done.Wait()
	for _, fd := range append(r.fds[:], r.stop) {
		unix.Close(fd)
	}
	r.stop = 0
}
