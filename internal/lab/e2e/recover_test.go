package e2e

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

const notRecovered = "connections from before are not recovered, as configured, and deleted from the log: "

// TestNotRecovered: with --recover=false an engine knows nothing of the one before. Its
// clients get a RST when they speak, its server process is ended if it lives, and
// nothing of it is in the log any more.
func TestNotRecovered(t *testing.T) {
	t.Parallel()
	eachOver(t, probes(t), func(r *rig, m mode) {
		// Together with its server; some of its connections are translated, some not.
		before := r.clients(2)
		r.crash()
		before = append(before, r.clients(2)...)
		r.killBoth()
		m.with("--recover=false").start(r)
		r.waitOutput(notRecovered + "service=probe connections=4")
		given(before)

		// Alone: its server lives.
		before = r.clients(2)
		r.crash()
		before = append(before, r.clients(2)...)
		server := r.killAlone()
		m.with("--recover=false").start(r)
		server.ends()
		r.recovered()
		given(before)

		// What has come since is protected as ever.
		c := r.dial()
		c.echo("hello")
		r.crash()
		c.echo("again")
		r.killBoth()
		m.with("--recover").start(r)
		r.waitOutput("connections from before are in the log: port=7002 connections=1\n")
		c.echo("and again")
		r.waitStatus("there is one connection", func(d *status.Document) bool { return len(d.Connections) == 1 })
	})
}

// given checks that connections have been given up: their clients get a RST when they
// speak, or have got it.
func given(up []*client) {
	for _, c := range up {
		c.t.Helper()
		if _, err := io.WriteString(c, "echo hello?\n"); errors.Is(err, syscall.ECONNRESET) {
			continue
		} else if err != nil {
			c.t.Fatal(err)
		}
		c.expectReset()
	}
}

// TestServeDoesNotRecover: the same in the file of `ftnet serve`.
func TestServeDoesNotRecover(t *testing.T) {
	t.Parallel()
	log := onDeviceTOML(t)
	own, plain := listening(t, "own", 7002), unmodified(t, "plain", 7003)
	s := serve(t, nil, log, own, plain)
	before := []*client{s.dialPort(7002), s.dialPort(7003)}
	for _, c := range before {
		c.echo("hello")
	}
	s.killFtnet()
	s.write(log+"recover = false\n", own, plain)
	s.begin()
	s.waitOutput(notRecovered + "service=own connections=1")
	s.waitOutput(notRecovered + "service=plain connections=1")
	for _, name := range []string{"own", "plain"} {
		s.pid(name)
	}
	given(before)
	c := s.dialPort(7002)
	c.echo("hello")
	s.crash("own")
	c.echo("again")
}
