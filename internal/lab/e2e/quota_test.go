package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// quota of the tests: a multiple of the line that fill sends.
const (
	quota    = 64 << 10
	lineSize = 64

	windowUnit = 1 << 14 // of the largest scale (RFC 7323, section 2.3)
)

func quotaFlags(policy string) options {
	return options{flags: []string{"--quota", "64KiB", "--on-full", policy}}
}

// fill sends lines until the connection takes no more for a second, or fails,
// or n lines are sent. It checks every reply.
func (c *client) fill(n int) (answered int, err error) {
	c.t.Helper()
	_, answered, err = c.fillBy(n, 1)
	return answered, err
}

// fillBy is fill that sends some lines at a time.
func (c *client) fillBy(n, some int) (said, answered int, err error) {
	c.t.Helper()
	defer c.begin()
	for said < n {
		var lines strings.Builder
		for range min(some, n-said) {
			lines.WriteString("echo " + filler(said) + "\n")
			said++
		}
		c.SetDeadline(time.Now().Add(time.Second))
		bytes, err := io.WriteString(c, lines.String())
		c.sent += uint64(bytes)
		if err != nil {
			return said, answered, err
		}
		for ; answered < said; answered++ {
			got, err := c.in.ReadString('\n')
			if err != nil {
				return said, answered, err
			}
			if got != filler(answered)+"\n" {
				c.t.Fatalf("line %d: got %q", answered, got)
			}
		}
	}
	return said, answered, nil
}

// filler is the text of a line that fill sends.
func filler(i int) string { return fmt.Sprintf("%0*d", lineSize-len("echo \n"), i) }

// TestQuotaClosesWindow: at the end of its quota a client is slowed down to
// nothing. It sees no error, nothing is lost, and it survives crashes.
func TestQuotaClosesWindow(t *testing.T) {
	t.Parallel()
	r := probe(t, quotaFlags("close-window"))
	c := r.dial()
	n, err := c.fill(2 * quota / lineSize)
	// A window counts in units of its scale.
	if n > quota/lineSize || n < (quota-windowUnit)/lineSize || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d lines were answered, %v; want %d and a time-out", n, err, quota/lineSize)
	}
	r.waitOutput("its window stays closed")
	r.crash()
	d := r.waitStatus("the connection is live", func(d *status.Document) bool { return conns(d, "established") == 1 })
	if got := d.Connections[0]; got.BytesLogged > quota || got.BytesLogged < quota-windowUnit || got.Protection != status.Protected {
		t.Errorf("%+v", got)
	}
	// The line that waits is still not answered: the log has no room.
	c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if b, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", b, err)
	}
	other := r.dial()
	other.echo("others go on")
}

// TestQuotaUnprotects: the connection goes on as if there were no ftnet, and a
// crash ends it as one would.
func TestQuotaUnprotects(t *testing.T) {
	t.Parallel()
	r := probe(t, quotaFlags("unprotect"))
	c := r.dial()
	if n, err := c.fill(3 * quota / lineSize); err != nil {
		t.Fatalf("after %d lines: %v", n, err)
	}
	r.waitOutput("connection is not protected")
	r.waitOutput("quota")
	r.kill()
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("after the crash: %v", err)
	}
	r.recovered()
}

// TestQuotaUnprotectsRecovered: likewise for one that needs the translation.
func TestQuotaUnprotectsRecovered(t *testing.T) {
	t.Parallel()
	r := probe(t, quotaFlags("unprotect"))
	c := r.dial()
	if n, err := c.fill(10); err != nil {
		t.Fatalf("after %d lines: %v", n, err)
	}
	r.crash()
	if n, err := c.fill(3 * quota / lineSize); err != nil {
		t.Fatalf("after %d lines: %v", n, err)
	}
	d := r.waitStatus("the connection is not protected", func(d *status.Document) bool {
		return len(d.Connections) == 1 && d.Connections[0].Protection == status.Unprotected
	})
	if !strings.Contains(d.Connections[0].Reason, "quota") || d.Log.FullEvents != 1 {
		t.Errorf("%+v, %+v", d.Connections[0], d.Log)
	}
	r.kill()
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("after the crash: %v", err)
	}
	r.recovered()
}

// TestQuotaResets: the client gets a RST, the others do not.
func TestQuotaResets(t *testing.T) {
	t.Parallel()
	r := probe(t, quotaFlags("reset"))
	c, other := r.dial(), r.dial()
	other.echo("hello")
	n, err := c.fill(2 * quota / lineSize)
	if n < quota/lineSize || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d lines were answered, %v; want %d and a reset", n, err, quota/lineSize)
	}
	other.echo("still here")
	r.waitOutput("log quota")
	r.waitOutput("connection reset")
}

// TestQuotaInOutage: a client that meets the end of its quota while nobody
// serves is as well off as one that meets it later.
func TestQuotaInOutage(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, quotaFlags("close-window"), "-gate", gate)
	c := r.dial()
	c.echo("hello")
	closeGate(t, gate)
	r.kill()
	line := "echo " + strings.Repeat("x", lineSize-len("echo \n")) + "\n"
	sent := make(chan struct{})
	go func() { // it blocks until the end: there is twice as much as the log takes
		defer close(sent)
		_, _ = io.WriteString(c, strings.Repeat(line, 2*quota/lineSize))
	}()
	d := r.waitStatus("the quota is used up", func(d *status.Document) bool {
		return len(d.Connections) == 1 && d.Connections[0].BytesLogged > quota-windowUnit
	})
	if got := d.Connections[0]; got.BytesLogged > quota || got.State != "outage" {
		t.Errorf("%+v", got)
	}
	openGate(t, gate)
	for range (quota-windowUnit)/lineSize - 1 {
		c.expect(line[len("echo ") : lineSize-1])
	}
	r.crash()
	c.abort()
	<-sent
}
