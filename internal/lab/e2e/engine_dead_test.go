package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestEngineDead: what a client hears when engine and server are killed, with a
// server that announces its ends and with one that does not: nothing, because
// another engine may come, or, after a time, what it would hear without ftnet.
func TestEngineDead(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name  string
		start func(t *testing.T, flags ...string) *rig
	}{
		{"listen", func(t *testing.T, flags ...string) *rig { return probe(t, options{flags: flags}) }},
		{"unmodified", func(t *testing.T, flags ...string) *rig { return modeProbe(t, "plain", flags) }},
	} {
		t.Run(mode.name+"/hold", func(t *testing.T) {
			t.Parallel()
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
			t.Parallel()
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

// TestEngineStuck: an engine that has stood still goes on with those connections on
// which nothing happened. The others are served, and end with their process.
func TestEngineStuck(t *testing.T) {
	r := probe(t, options{flags: []string{"--when-engine-dead", "open", "--engine-dead-after", "500ms"}})
	spoke, silent := r.dial(), r.dial()
	spoke.echo("hello")
	silent.echo("hello")
	r.waitStatus("nothing is owed", func(d *status.Document) bool {
		return len(d.Connections) == 2 && !slices.ContainsFunc(d.Connections, func(c status.Connection) bool {
			return c.BytesLogged == 0 || c.StableLag > 0 || c.HeldACK
		})
	})
	r.signal(syscall.SIGSTOP)
	// The first bytes are acknowledged when the gate has lost its patience.
	for start := time.Now(); time.Since(start) < 2*time.Second; time.Sleep(50 * time.Millisecond) {
		spoke.echo("still here")
	}
	r.dial().echo("new")
	r.signal(syscall.SIGCONT)
	r.waitOutput("engine stalled for longer than dead-after")
	r.waitOutput("connection is not protected")
	spoke.echo("on")
	d := r.waitStatus("packets were let go", func(d *status.Document) bool { return d.Gate.Reasons["opened"] > 0 })
	if len(d.Connections) < 1 {
		t.Errorf("%+v", d.Connections)
	}
	r.crash()
	silent.echo("recovered")
	if _, err := spoke.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("after the crash: %v", err)
	}
	r.dial().echo("hello")
}

func (r *rig) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}
