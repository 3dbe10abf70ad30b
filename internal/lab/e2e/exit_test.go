package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

// Exit statuses of ftnet; see `ftnet --help`.
const exitGaveUp = 71

// status of ftnet after it has ended.
func (r *rig) exitStatus() int {
	r.t.Helper()
	_ = r.wait() // says the same
	ws := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ws.Exited() {
		r.t.Fatalf("ftnet was ended by %v", ws.Signal())
	}
	return ws.ExitStatus()
}

// TestCommandExits: a command that ends with status 0 is done; its clients get
// FINs, and ftnet ends like it.
func TestCommandExits(t *testing.T) {
	for crashes := range 2 {
		t.Run(fmt.Sprint("after ", crashes, " crashes"), func(t *testing.T) {
			probe(t, options{}).exitsCleanly(crashes)
		})
	}
}

// exitsCleanly has the server end with status 0, after some crashes: its clients
// get FINs, one that has said nothing before among them.
func (r *rig) exitsCleanly(crashes int) {
	r.t.Helper()
	a, b, silent := r.dial(), r.dial(), r.dial()
	a.echo("hello")
	b.echo("hello")
	for range crashes {
		r.crash()
		a.echo("again")
		b.echo("again")
	}
	b.send("exit")
	for _, c := range []*client{a, b, silent} {
		c.expectEOF()
		c.Close()
	}
	if code := r.exitStatus(); code != 0 {
		r.t.Errorf("exit status %d", code)
	}
}

// TestStopped: a server that is asked to stop ends as it would without ftnet.
// Its clients get all that it had written, and then FINs, whether they had been
// recovered or not.
func TestStopped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		signal  syscall.Signal
		crashes int
	}{{syscall.SIGTERM, 0}, {syscall.SIGTERM, 2}, {syscall.SIGINT, 0}, {syscall.SIGINT, 1}} {
		t.Run(fmt.Sprint(test.signal, " after ", test.crashes, " crashes"), func(t *testing.T) {
			const size = 100000 // more than the window of a client that does not read
			r := probe(t, options{})
			c, idle := r.dial(), r.dial()
			c.echo("hello")
			idle.echo("hello")
			for range test.crashes {
				r.crash()
				c.echo("again")
				idle.echo("again")
			}
			c.send(fmt.Sprint("write ", size))
			r.waitOutput(fmt.Sprintf("wrote %d <nil>", size))
			if err := r.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			idle.expectEOF()
			idle.Close()
			got, err := io.ReadAll(c.in)
			if err != nil || len(got) != size || !bytes.HasPrefix(got, []byte("0000000\n0000001\n")) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			c.Close()
			if code := r.exitStatus(); code != 128+int(test.signal) {
				t.Errorf("exit status %d", code)
			}
			if strings.Contains(r.out.String(), "still open") {
				t.Error("ftnet waited for connections that were closed")
			}
		})
	}
}

// TestNoDrain: what clients leave open is reset at once where there is no time
// to drain, if the engine is needed for it.
func TestNoDrain(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--drain", "0s"}})
	c := r.dial()
	c.echo("hello")
	r.crash()
	c.echo("again")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.exitStatus(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit status %d", code)
	}
	// Without the engine nobody could tell the client's numbers from the
	// stack's, so it gets a RST. If the FIN came before, that is EPIPE.
	_, err := c.in.ReadByte()
	if err == io.EOF {
		_, err = c.Write([]byte("echo more\n"))
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v, want a reset", err)
	}
}

// TestPoison: an input that crashes the server each time uses the budget up.
// Every client is told by a RST, and the user by message and exit status.
func TestPoison(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--restart-limit", "3"}})
	idle, poison := r.dial(), r.dial()
	idle.echo("hello")
	poison.send("crash")
	for _, c := range []*client{idle, poison} {
		c.expectReset()
	}
	if code := r.exitStatus(); code != exitGaveUp {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"gave up after 4 crashes", "limit 3 restarts in 20s", "exit status 3"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("the message does not say %q", want)
		}
	}
}
