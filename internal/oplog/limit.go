package oplog

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// How often lines may say the same: burst times at once, and once in each
// interval after that.
const (
	burst    = 20
	interval = 10 * time.Second
)

// maxKinds bounds what is remembered. What is beyond it shares one allowance for
// each message, whatever it gives as the reason.
const maxKinds = 1024

// limiter counts how often what is said. Two lines say the same if they are of the
// same kind: level, logger, message, and what is given as the reason or error, with
// all numbers taken for one number. Which connection, port or process it is about
// makes no difference.
type limiter struct {
	mu    sync.Mutex // guards what follows
	kinds map[string]*kind
	ended bool
}

// kind is what lines of one kind have used up.
type kind struct {
	used  float64   // of burst; one less after each interval
	at    time.Time // when used was right
	out   uint64    // lines left out that no line has reported
	flush func(out uint64)
	timer *time.Timer // runs while out > 0
}

func newLimiter() *limiter { return &limiter{kinds: map[string]*kind{}} }

// pass reports whether a line may be written, and how many like it were left out
// since the last one. If there is none within an interval after a line was left out,
// flush is called with their number, so that the end of a flood is logged, too.
func (l *limiter) pass(key, short string, now time.Time, flush func(out uint64)) (ok bool, out uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kind(key, short, now)
	k.used = max(0, k.used-float64(now.Sub(k.at))/float64(interval))
	k.at = now
	if k.used <= burst-1 {
		k.used++
		return true, k.takeOut()
	}
	k.out++
	if k.timer == nil && !l.ended {
		k.flush = flush
		k.timer = time.AfterFunc(interval, func() {
			l.mu.Lock()
			k.used = min(burst, k.used+1) // it takes a line's place
			out := k.takeOut()
			l.mu.Unlock()
			if out > 0 {
				flush(out)
			}
		})
	}
	return false, 0
}

// takeOut returns how many lines were left out since the last call, for a line that says so. l.mu is held.
func (k *kind) takeOut() uint64 {
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
	out := k.out
	k.out = 0
	return out
}

// kind returns that of a key, or of the shorter one if there are too many. l.mu is held.
func (l *limiter) kind(key, short string, now time.Time) *kind {
	if k := l.kinds[key]; k != nil {
		return k
	}
	if len(l.kinds) >= maxKinds {
		for name, k := range l.kinds { // those that have been silent for so long are as new
			if k.out == 0 && now.Sub(k.at) > burst*interval {
				delete(l.kinds, name)
			}
		}
	}
	if len(l.kinds) >= maxKinds {
		if key = short; l.kinds[key] != nil {
			return l.kinds[key]
		}
	}
	k := &kind{at: now}
	l.kinds[key] = k
	return k
}

// end logs at once how many lines were left out. Nothing is logged later.
func (l *limiter) end() {
	l.mu.Lock()
	l.ended = true
	var report []func()
	for _, k := range l.kinds {
		if out := k.takeOut(); out > 0 {
			report = append(report, func() { k.flush(out) })
		}
	}
	l.mu.Unlock()
	for _, f := range report {
		f()
	}
}

// kindOf returns the key of a line, and the shorter one without what it gives as
// the reason.
func kindOf(level hclog.Level, name, msg string, args []any) (key, short string) {
	var b strings.Builder
	b.WriteByte('0' + byte(level))
	b.WriteString(name)
	b.WriteByte(0)
	b.WriteString(msg)
	short = b.String()
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "reason", "error", "service":
			b.WriteByte(0)
			withoutNumbers(&b, fmt.Sprint(args[i+1]))
		}
	}
	return b.String(), short
}

// maxReason is how much of a reason tells kinds apart, bytes.
const maxReason = 256

// withoutNumbers writes s with each number (and address, which has digits) as a '#'.
func withoutNumbers(b *strings.Builder, s string) {
	number := false
	for i := 0; i < min(len(s), maxReason); i++ {
		c := s[i]
		digit := c >= '0' && c <= '9'
		if !digit {
			b.WriteByte(c)
		} else if !number {
			b.WriteByte('#')
		}
		number = digit
	}
}
