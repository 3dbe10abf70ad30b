package rawio

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/tap"
)

func monotonic(t *testing.T) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// TestClockIsTheKernels: the core's environment has the clock of bpf_ktime_get_ns.
func TestClockIsTheKernels(t *testing.T) {
	before := monotonic(t)
	now := newEnvironment(&Engine{}).Now()
	if after := monotonic(t); now < before || now > after {
		t.Errorf("%d is not within %d and %d", now, before, after)
	}
}

// TestClockIsNotSet: who sets the host's clock sets neither the engine's nor the times of
// the packets that arrive then.
func TestClockIsNotSet(t *testing.T) {
	mono, wall := int64(5e9), int64(1_700_000_000e9)
	k := clock{base: 100e9, since: func() int64 { return mono }, wall: func() int64 { return wall }}
	for _, step := range []time.Duration{0, -100 * time.Millisecond, time.Hour, -24 * 365 * time.Hour} {
		wall += int64(step)
		packets := []tap.Packet{{Time: wall}}
		mono, wall = mono+3e6, wall+3e6
		packets = append(packets, tap.Packet{Time: wall})
		mono, wall = mono+2e6, wall+2e6
		k.arrivals(packets)
		if now := k.now(); now != 100e9+mono || packets[0].Time != now-5e6 || packets[1].Time != now-2e6 {
			t.Errorf("set by %v: now %d, packets at %d and %d", step, now, packets[0].Time, packets[1].Time)
		}
	}
	// Set while a packet is queued: it has not arrived later than now.
	packets := []tap.Packet{{Time: wall}}
	wall -= 1e9
	if k.arrivals(packets); packets[0].Time != k.now() {
		t.Errorf("a packet arrives at %d, after %d", packets[0].Time, k.now())
	}
}
