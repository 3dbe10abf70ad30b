package south

import (
	"testing"
	"testing/quick"
)

// TestClockCountsWhatItIsAwake: a tick counts for maxAwake at most, and for nothing if the
// environment's clock was set back; what the kernel has met keeps its place among what the
// core has done.
func TestClockCountsWhatItIsAwake(t *testing.T) {
	const ms = int64(1e6)
	k := clock{now: 1000 * ms, ticked: 1000 * ms, at: 1000 * ms}
	for _, step := range []struct {
		at, now, awake, still int64
	}{
		{1200, 1200, 200, 0},
		{1700, 1700, 500, 0},
		{61_700, 2200, 500, 59_500}, // it was stopped for a minute
		{61_900, 2400, 200, 0},
		{61_800, 2400, 0, -100}, // set back
		{62_000, 2600, 200, 0},
	} {
		if got := k.passed(step.at * ms); got != step.now*ms {
			t.Errorf("at %d it is %d, want %d", step.at, got/ms, step.now)
		}
		still := k.tick(step.at * ms)
		if k.now != step.now*ms || k.awake != step.awake*ms || still != step.still*ms {
			t.Errorf("tick at %d: now %d, awake %d, still %d; want %+v", step.at, k.now/ms, k.awake/ms, still/ms, step)
		}
	}
}

// TestClockOfPackets: the times of packets are on the core's clock, before a jump and after.
func TestClockOfPackets(t *testing.T) {
	const ms = int64(1e6)
	k := clock{now: 1000 * ms, ticked: 1000 * ms, at: 1000 * ms}
	k.tick(1200 * ms)
	k.tick(61_200 * ms) // 1700
	k.tick(61_300 * ms)
	for at, want := range map[int64]int64{
		1100: 1100, 1600: 1600, // before the core stood still
		2000: 1700, 30_000: 1700, // meanwhile
		61_200: 1700, 61_250: 1750, 61_300: 1800, // since
		61_400: 1800, // never later than now
	} {
		if got := k.of(at * ms); got != want*ms {
			t.Errorf("of(%d) = %d, want %d", at, got/ms, want)
		}
	}
}

// TestClockNeverGoesBack: whatever the environment's clock says, and in whatever order the
// core asks.
func TestClockNeverGoesBack(t *testing.T) {
	f := func(jumps []int32, ticks []bool) bool {
		k, at := clock{}, int64(0)
		for i, j := range jumps {
			before := k.now
			at += int64(j)
			if i < len(ticks) && ticks[i] {
				k.tick(at)
			} else {
				k.now = k.passed(at)
			}
			if k.now < before || k.now > k.ticked+maxAwake || k.of(at) > k.now {
				return false
			}
		}
		return true
	}
	if err := quick.Check(f, nil); err != nil {
		t.Error(err)
	}
}
