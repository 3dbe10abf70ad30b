package e2e

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestEngineDead: what a client hears when engine and server are killed, with a
// server that announces its ends and with one that does not: nothing, because
// another engine may come, or, after a time, what it would hear without ftnet.
func TestEngineDead(t *testing.T) {
	for _, mode := range []struct {
		name  string
		start func(t *testing.T, flags ...string) *rig
	}{
		{"listen", func(t *testing.T, flags ...string) *rig { return probe(t, options{flags: flags}) }},
		{"unmodified", func(t *testing.T, flags ...string) *rig { return modeProbe(t, "plain", flags) }},
	} {
		t.Run(mode.name+"/hold", func(t *testing.T) {
			r := mode.start(t)
			c := r.dial()
			c.echo("hello")
			r.killEngine()
			if err := c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if b, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client gets %q, %v", b, err)
			}
			r.doctor(r.runtime)
		})
		t.Run(mode.name+"/open", func(t *testing.T) {
			r := mode.start(t, "--when-engine-dead", "open", "--engine-dead-after", "1s")
			c := r.dial()
			c.echo("hello")
			r.killEngine()
			c.expectEOF()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := fromClient(r)(ctx, "tcp", probeAddress); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a new client gets %v", err)
			}
			r.doctor(r.runtime)
		})
	}
}
