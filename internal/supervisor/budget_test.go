package supervisor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func defaults() *budget {
	c := configured(Config{}).withDefaults()
	return &budget{backoff: c.Backoff, limit: c.RestartLimit, window: c.RestartWindow}
}

func TestBackoff(t *testing.T) {
	b := defaults()
	now := time.Unix(0, 0)
	var got []time.Duration
	for range 10 {
		d, _, _, _ := b.crash(now, 0)
		got = append(got, d/time.Millisecond)
	}
	want := []time.Duration{0, 10, 20, 40, 80, 160, 320, 500, 500, 500}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delays in ms (-want +got):\n%s", diff)
	}
	if d, _, _, _ := b.crash(now, time.Second); d != 0 {
		t.Errorf("after a stable run: %v", d)
	}
	if d, _, _, _ := b.crash(now, 0); d != 10*time.Millisecond {
		t.Errorf("and then: %v", d)
	}
}

// play crashes a process that runs for ran each time, until the budget ends it
// or it has crashed n times.
func play(b *budget, ran time.Duration, n int) (crashes int, after time.Duration, ok bool) {
	start := time.Unix(0, 0)
	now := start
	for range n {
		now = now.Add(ran)
		crashes++
		d, _, _, ok := b.crash(now, ran)
		if !ok {
			return crashes, now.Sub(start), false
		}
		now = now.Add(d)
	}
	return crashes, now.Sub(start), true
}

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ran   time.Duration
		n     int
		ends  bool
		below time.Duration
	}{
		{"20 kills within 20 s", time.Second, 20, false, 0},
		{"20 kills within 10 s", 500 * time.Millisecond, 20, false, 0},
		{"a kill every second for an hour", time.Second, 3600, false, 0},
		{"crash at once", time.Millisecond, 1000, true, 11 * time.Second},
		{"crash after a slow start", 400 * time.Millisecond, 1000, true, 25 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, after, ok := play(defaults(), tt.ran, tt.n)
			if ok == tt.ends || tt.ends && after > tt.below {
				t.Errorf("%d crashes in %v, goes on: %v", n, after, ok)
			}
		})
	}
	for name, c := range map[string]Config{"no restarts": {}, "never": {Restart: Never, RestartLimit: 9}} {
		t.Run(name, func(t *testing.T) {
			b := defaults()
			b.limit = c.withDefaults().RestartLimit
			if n, _, ok := play(b, time.Hour, 2); ok || n != 1 {
				t.Errorf("%d crashes, goes on: %v", n, ok)
			}
		})
	}
	t.Run("no limit", func(t *testing.T) {
		b := defaults()
		b.limit = NoLimit
		if _, _, ok := play(b, 0, 10000); !ok {
			t.Error("ended")
		}
	})
}
