package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// TestUnmodifiedCloses: all the ways in which a connection ends reach the other
// side, whether it was recovered or not.
func TestUnmodifiedCloses(t *testing.T) {
	for crashes := range 3 {
		t.Run(fmt.Sprint(crashes, " crashes"), func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, "plain", nil)
			closed, aborted, half, done, reset := r.dial(), r.dial(), r.dial(), r.dial(), r.dial()
			all := []*client{closed, aborted, half, done, reset}
			for _, c := range all {
				c.echo("before")
			}
			for range crashes {
				r.crash()
				for _, c := range all {
					c.echo("again")
				}
			}
			closed.send("close")
			closed.expectEOF()
			aborted.send("abort")
			aborted.expectReset()
			// The server says no more, but it listens on.
			half.send("half")
			half.expectEOF()
			half.send("0123456789")
			half.Close()
			r.waitOutput("half 11 <nil>")
			// The client says no more, and gets its answers.
			done.send("echo last words")
			if err := done.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			done.expect("last words")
			done.expectEOF()
			reset.abort()
			for _, c := range []*client{closed, done} {
				c.Close()
			}
			r.waitStatus("no connection is protected any more", func(d *status.Document) bool {
				return !slices.ContainsFunc(d.Connections, func(c status.Connection) bool { return c.Protection == status.Protected })
			})
			r.crash()
			r.check(func(s *status.Service) bool {
				return s.Mismatches == 0 && s.Recovered == uint64(crashes*len(all))
			})
		})
	}
}

// TestUnmodifiedCrashAfterHalfClose: a crash comes when one side has closed.
func TestUnmodifiedCrashAfterHalfClose(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		r := modeProbe(t, "plain", nil)
		c := r.dial()
		c.echo("before")
		c.send("half")
		c.expectEOF()
		c.send("0123")
		for range 3 {
			r.crash()
			c.send("0123")
		}
		c.Close()
		r.waitOutput("half 20 <nil>")
		r.check(func(s *status.Service) bool { return s.Mismatches == 0 })
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		// The server is killed while it still writes, and the client, which
		// does not read, has closed.
		const size = 10 << 20
		r := modeProbe(t, "plain", nil)
		c := r.dial()
		c.echo("before")
		c.send(fmt.Sprint("write ", size))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.crash()
		}
		c.expectPattern(size)
		c.expectEOF()
	})
	t.Run("client in the outage", func(t *testing.T) {
		t.Parallel()
		gate := filepath.Join(t.TempDir(), "gate")
		modeProbe(t, "plain", nil, "-gate", gate).halfCloseInOutage(gate)
	})
}

// TestUnmodifiedExits: the main process ends with status 0, and so does ftnet;
// its clients get FINs.
func TestUnmodifiedExits(t *testing.T) {
	for crashes := range 2 {
		t.Run(fmt.Sprint("after ", crashes, " crashes"), func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, "plain", nil)
			r.exitsCleanly(crashes)
		})
	}
}
