package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestUnmodifiedMismatch: a connection whose server writes something else after
// the crash is reset, and the log says where. The others go on.
func TestUnmodifiedMismatch(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", nil)
	good, bad := r.dial(), r.dial()
	for _, c := range []*client{good, bad} {
		c.echo("0123456789")
	}
	bad.send("dates")
	if _, err := bad.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	bad.echo("and on")
	r.crash()
	good.echo("still here")
	bad.expectReset()
	r.mismatches(1, len("0123456789\n"), len("0123456789\n00000000000000000000\n"))
}

// TestUnmodifiedCompareLength: replies of equal length may differ, again and
// again, and replies of another length may not.
func TestUnmodifiedCompareLength(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", []string{"--compare", "length"})
	c, other := r.dial(), r.dial()
	for range 4 {
		c.send("dates")
		if line, err := c.in.ReadString('\n'); err != nil || len(line) != 21 {
			t.Fatalf("%q, %v", line, err)
		}
		r.crash()
		c.echo("still here")
	}
	if got := r.connection(c); got.Recoveries != 4 || got.How != "on the wire, length" {
		t.Errorf("%+v", got)
	}
	// A reply that is shorter each time leaves bytes missing.
	file := filepath.Join(t.TempDir(), "length")
	if err := os.WriteFile(file, []byte("20"), 0o600); err != nil {
		t.Fatal(err)
	}
	other.send("shrink " + file)
	if line, err := other.in.ReadString('\n'); err != nil || line != strings.Repeat("x", 20)+"\n" {
		t.Fatalf("%q, %v", line, err)
	}
	r.kill()
	c.echo("still here")
	// It takes a while to be sure that nothing comes any more.
	other.SetReadDeadline(time.Now().Add(60 * time.Second))
	if b, err := other.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want a reset", b, err)
	}
	c.echo("still here")
	r.check(func(s *status.Service) bool { return s.Mismatches == 1 })
}
