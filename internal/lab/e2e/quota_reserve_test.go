package e2e

import (
	"errors"
	"os"
	"testing"
)

// TestQuotaReserve: uploads that use up the total quota stall themselves, not
// clients that have sent little, nor those that dial now; and all survive a crash.
func TestQuotaReserve(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--quota", "2MiB", "--quota-total", "4MiB"}})
	var quiet []*client
	for range 4 {
		c := r.dial()
		for range 256 / lineSize {
			c.echo("hello")
		}
		c.echo("hello")
		quiet = append(quiet, c)
	}
	uploads := make(chan error)
	for range 8 {
		c := r.dial()
		go func() {
			_, err := c.fill(2 << 20 / lineSize)
			uploads <- err
		}()
	}
	for range 8 {
		if err := <-uploads; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an upload ends with %v, want a time-out", err)
		}
	}
	quiet = append(quiet, r.dial())
	for _, c := range quiet {
		for range 20 {
			c.echo("goes on")
		}
	}
	r.crash()
	for _, c := range quiet {
		c.echo("and on")
	}
}
