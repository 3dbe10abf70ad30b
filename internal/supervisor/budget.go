package supervisor

import "time"

// budget decides when the next restart happens and whether there is one. It
// has no clock: the caller says what time it is.
type budget struct {
	backoff Backoff
	limit   int // negative: none
	window  time.Duration

	crashes []time.Time // those within the window, oldest first
	streak  int         // crashes in a row without a stable run between
}

// crash counts one. It returns the delay before the restart, or ok=false and
// how many crashes within which time used the budget up.
func (b *budget) crash(now time.Time, ran time.Duration) (delay time.Duration, n int, within time.Duration, ok bool) {
	if ran >= b.backoff.StableAfter {
		b.streak = 0
	}
	b.streak++
	for len(b.crashes) > 0 && now.Sub(b.crashes[0]) > b.window {
		b.crashes = b.crashes[1:]
	}
	if b.limit >= 0 {
		b.crashes = append(b.crashes, now)
		if len(b.crashes) > b.limit {
			return 0, len(b.crashes), now.Sub(b.crashes[0]), false
		}
	}
	return b.delay(), 0, 0, true
}

// delay is that before the restart after the streak-th crash in a row.
func (b *budget) delay() time.Duration {
	d := time.Duration(0)
	for i := 1; i < b.streak && d < b.backoff.Max; i++ {
		d = max(2*d, b.backoff.First)
	}
	return min(d, b.backoff.Max)
}
