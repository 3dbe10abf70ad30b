package rawio

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// clock is the engine's: CLOCK_MONOTONIC in ns, which cannot be set. The gate's times are on the
// same clock (bpf_ktime_get_ns), and so are the timers and timestamps of the kernel's TCP and
// Go's timers. CLOCK_BOOTTIME continues while the host is suspended: with it the engine's
// time-outs would also expire for peers that were suspended as well. Only the tap's times are on another
// clock.
type clock struct {
	base int64 // the time from which since counts
	// since and wall read clocks; tests replace them.
	since func() int64
	wall  func() int64 // CLOCK_REALTIME, Unix time
}

func newClock() clock {
	// Reading two clocks may be interrupted: the shortest of some tries is accurate
	// to about a microsecond. By that much the gate's times may seem late.
	const tries = 8
	var (
		base time.Time
		mono int64
		best = time.Duration(-1)
	)
	for range tries {
		var ts unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(err) // cannot be: the clock is there
		}
		after := time.Now()
		if took := after.Sub(before); best < 0 || took < best {
			base, mono, best = after, ts.Nano(), took
		}
	}
	return clock{
		base:  mono,
		since: func() int64 { return int64(time.Since(base)) },
		wall:  func() int64 { return time.Now().UnixNano() },
	}
}

// now returns the time.
func (k *clock) now() int64 { return k.base + k.since() }

// arrivals puts the times of packets that have just been read, of CLOCK_REALTIME, on
// the engine's clock. If that clock is set meanwhile, queued packets seem older or newer than
// they are: then the kernel gets a copy of a packet in a cut-over, or the client repeats it.
func (k *clock) arrivals(packets []tap.Packet) {
	now, wall := k.now(), k.wall()
	for i := range packets {
		p := &packets[i]
		p.Time = now - max(wall-p.Time, 0)
	}
}
