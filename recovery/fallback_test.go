package recovery

import (
	"context"
	"errors"
	"io"
	"testing"
)

// await is Await within the tests' patience.
func (r *running) await() (int, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return r.Await(ctx)
}

// TestRestartFallsBack: a new process that ends before it listens gives way to what ran
// before, and no connection is lost.
func TestRestartFallsBack(t *testing.T) {
	for name, role := range map[string]string{"listen": "listen :7965", "unmodified": "plain :7965"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			good := server("s", role, ":7965")
			r := l.run(good)
			r.serves()
			c := l.dial("127.0.0.1:7965")
			c.expect("3", "add 3")
			bad := good
			setenv(&bad, roleEnv, "exit 5")
			for range 2 {
				if err := r.Restart(&bad); err != nil {
					t.Fatal(err)
				}
				n, err := r.await()
				if !errors.As(err, new(*FellBackError)) || n != 1 {
					t.Errorf("%d connections, %v", n, err)
				}
				if p := r.program(l); !p.Ready {
					t.Errorf("what ran before serves again: %+v", p)
				}
				c.expect("3", "add 0")
			}
			if err := r.Restart(&good); err != nil {
				t.Fatal(err)
			}
			if n := r.serves(); n != 1 {
				t.Errorf("%d connections are recovered", n)
			}
			c.expect("4", "add 1")
		})
	}
}

// TestRestartLosesConnection: a new program that answers otherwise is told so, by
// Lost.
func TestRestartLosesConnection(t *testing.T) {
	for name, role := range map[string]string{"listen": "listen :7966", "unmodified": "plain :7966"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			cfg := server("s", role, ":7966")
			setenv(&cfg, "WORD", "old")
			r := l.run(cfg)
			r.serves()
			a, b := l.dial("127.0.0.1:7966"), l.dial("127.0.0.1:7966")
			a.expect("old", "env WORD")
			b.expect("1", "add 1")
			setenv(&cfg, "WORD", "new")
			if err := r.Restart(&cfg); err != nil {
				t.Fatal(err)
			}
			r.serves()
			var lost *LostError
			if err := r.Lost(); !errors.As(err, &lost) || lost.Lost != 1 {
				t.Errorf("Lost: %v", err)
			}
			if err := a.ended(); errors.Is(err, io.EOF) {
				t.Error("the connection that could not be recovered was closed, not reset")
			}
			b.expect("2", "add 1")
		})
	}
}
