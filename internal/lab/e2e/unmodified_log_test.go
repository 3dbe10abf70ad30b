package e2e

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

func quotaOf(policy string) []string { return []string{"--quota", "64KiB", "--on-full", policy} }

// TestUnmodifiedQuota: the end of a connection's quota, with each of the policies.
func TestUnmodifiedQuota(t *testing.T) {
	t.Run("close-window", func(t *testing.T) {
		t.Parallel()
		r := modeProbe(t, "plain", quotaOf("close-window"))
		c := r.dial()
		n, err := c.fill(2 * quota / lineSize)
		if n > quota/lineSize || n < (quota-windowUnit)/lineSize || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d lines were answered, %v; want %d and a time-out", n, err, quota/lineSize)
		}
		r.crash()
		if got := r.connection(c); got.BytesLogged > quota || got.Protection != status.Protected || got.Recoveries != 1 {
			t.Errorf("%+v", got)
		}
		r.dial().echo("others go on")
	})
	t.Run("unprotect", func(t *testing.T) {
		t.Parallel()
		for crashes := range 2 {
			r := modeProbe(t, "plain", quotaOf("unprotect"))
			c := r.dial()
			if n, err := c.fill(10); err != nil {
				t.Fatalf("after %d lines: %v", n, err)
			}
			for range crashes {
				r.crash()
			}
			if n, err := c.fill(3 * quota / lineSize); err != nil {
				t.Fatalf("after %d lines: %v", n, err)
			}
			if got := r.connection(c); got.Protection != status.Unprotected || !strings.Contains(got.Reason, "quota") {
				t.Errorf("%+v", got)
			}
			c.expectEnd(r.kill)
			r.recovered()
		}
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		r := modeProbe(t, "plain", quotaOf("reset"))
		c, other := r.dial(), r.dial()
		other.echo("hello")
		n, err := c.fill(2 * quota / lineSize)
		if n < quota/lineSize || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%d lines were answered, %v; want %d and a reset", n, err, quota/lineSize)
		}
		other.echo("still here")
		r.crash()
		other.echo("recovered")
	})
}

// expectEnd kills and waits for the end that an unprotected connection has.
func (c *client) expectEnd(kill func()) {
	c.t.Helper()
	kill()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		c.t.Errorf("after the crash: %q, %v", b, err)
	}
}

const (
	// idle is how long the tests' connections must be idle.
	idle = 100 * time.Millisecond
	// idleFor is how long they are, which is what is tested: the last
	// acknowledgment may come 40 ms late, and the engine looks at them four times a
	// second.
	idleFor = idle + 400*time.Millisecond
)

var sinceIdle = []string{"--log-policy", "idle", "--log-idle", idle.String()}

// TestUnmodifiedLogSinceIdle: what was answered before an idle moment is dropped,
// and recovery starts there. A connection may have many such moments, and crashes
// before, between and after them.
func TestUnmodifiedLogSinceIdle(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", sinceIdle)
	c, busy := r.dial(), r.dial()
	// Its log is kept but for what it drops after a crash.
	meanwhile(1, func(int, int) { busy.echo("busy") }, func() {
		for range 3 {
			c.echo("some words that are not needed any more")
			pause(idleFor)
			c.echo("new")
			// Of a slow look at it, that is dropped too.
			if got := r.connection(c); got.BytesLogged > uint64(len("echo new\n")) {
				t.Errorf("%+v", got)
			}
			r.crash()
			c.echo("after a crash")
			r.crash() // with what is new in the log
			c.echo("after two")
			pause(idleFor)
			r.crash() // with nothing new
			c.echo("after three")
		}
		if got := r.connection(busy); got.BytesLogged < 1000 {
			t.Errorf("of %d bytes %d are in the log", got.BytesIn, got.BytesLogged)
		}
	})
	if got := r.connection(c); got.Recoveries != 9 || got.Protection != status.Protected {
		t.Errorf("%+v", got)
	}
	r.check(func(s *status.Service) bool { return s.Mismatches == 0 })
}

// TestUnmodifiedLogSinceIdleForgets: what the server would now answer otherwise
// does not matter once it is dropped.
func TestUnmodifiedLogSinceIdleForgets(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", sinceIdle)
	c := r.dial()
	c.send("dates") // another one in each process
	if _, err := c.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	pause(idleFor)
	for range 3 {
		c.echo("new")
		r.crash()
	}
	c.echo("on and on")
	r.check(func(s *status.Service) bool { return s.Mismatches == 0 && s.Recovered == 3 })
}

// TestUnmodifiedLogSinceIdleBeyondQuota: a connection that is idle now and then
// may receive any amount.
func TestUnmodifiedLogSinceIdleBeyondQuota(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", append(quotaOf("reset"), sinceIdle...))
	c := r.dial()
	for range 6 {
		if n, err := c.fill(quota / 2 / lineSize); err != nil {
			t.Fatalf("after %d lines: %v", n, err)
		}
		pause(idleFor)
	}
	r.crash()
	c.echo("recovered")
}

// TestUnmodifiedLogOff: nothing is kept, a crash ends the connection as it would
// without ftnet, and the status page says so before.
func TestUnmodifiedLogOff(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", []string{"--log-policy", "off"})
	for range 2 {
		c := r.dial()
		if n, err := c.fill(100); err != nil {
			t.Fatalf("after %d lines: %v", n, err)
		}
		if got := r.connection(c); got.Protection != status.Unprotected || got.Reason == "" || got.BytesLogged != 0 {
			t.Errorf("%+v", got)
		}
		c.expectEnd(r.kill)
		r.recovered()
	}
}
