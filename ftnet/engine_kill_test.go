//go:build linux

package ftnet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

const engineEnv = "FTNET_TEST_ENGINE"

// killedEngine is the process that TestEngineKilled kills: it publishes what
// its standard input says, and tells what it has taken over.
type killedEngine struct{ j *journal.Journal }

func runKilledEngine() {
	e := &killedEngine{}
	path := os.Getenv(engineEnv)
	os.Remove(path) // of the one before
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	go control.Serve(context.Background(), ln, e)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var slot uint32
		var client, server string
		fmt.Sscan(in.Text(), &slot, &client, &server)
		fmt.Println("published", e.j.Publish(slot, 1, journal.Flow{
			Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}))
	}
	os.Exit(0)
}

func (e *killedEngine) Hello(p *control.Peer) (w control.Welcome, err error) {
	w = control.Welcome{Service: "test", Returns: true, FD: -1}
	if p.Hello.Resume {
		e.j, err = journal.Adopt(p.Memory, 64, 1024)
	} else if e.j, err = journal.Create(64, 1024); err == nil {
		w.FD = e.j.Fd()
	}
	return w, err
}

func (e *killedEngine) Resumed(*control.Peer) error {
	var heads []string
	for _, slot := range e.j.Slots() {
		h, _ := e.j.Head(slot)
		heads = append(heads, fmt.Sprint(slot, h.State, h.Recorded))
	}
	fmt.Println("resumed", strings.Join(heads, ", "))
	return nil
}

func (e *killedEngine) Protect(*control.Peer, control.Protect) error { return nil }
func (e *killedEngine) Listening(*control.Peer, control.Listening) (control.ListeningReply, error) {
	return control.ListeningReply{}, nil
}
func (e *killedEngine) Closed(*control.Peer, control.Closed) error     { return nil }
func (e *killedEngine) Mismatch(*control.Peer, control.Mismatch) error { return nil }
func (e *killedEngine) ReadLog(control.ReadLog, []byte) (int, error)   { return 0, nil }
func (e *killedEngine) Gone(*control.Peer, error)                      {}

// engineProcess is a running one.
type engineProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func startEngine(t *testing.T, path string) *engineProcess {
	t.Helper()
	e := &engineProcess{t: t, cmd: exec.Command(os.Args[0])}
	e.cmd.Env = append(os.Environ(), engineEnv+"="+path)
	in, err := e.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.kill)
	e.in, e.out = in, bufio.NewReader(out)
	e.expect("ready")
	return e
}

func (e *engineProcess) expect(want string) {
	e.t.Helper()
	if got, err := e.out.ReadString('\n'); strings.TrimSpace(got) != want {
		e.t.Fatalf("the engine says %q, %v, want %q", got, err, want)
	}
}

func (e *engineProcess) kill() {
	e.cmd.Process.Kill()
	e.cmd.Wait()
}

// TestEngineKilled: engines that are processes of their own are killed with
// SIGKILL, one after another; the server goes on, and each knows what was there.
func TestEngineKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine")
	t.Setenv(control.EnvPath, path)
	e := startEngine(t, path)
	lc := ListenConfig{Logger: slog.New(slog.DiscardHandler)}
	ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ln.(*Listener), t}
	var open []string
	for i := range 5 {
		cl := &client{lab: &lab{t: t}, server: netip.MustParseAddrPort(ln.Addr().String())}
		cl.connect(netip.MustParseAddrPort("127.0.0.1:0"), func() {
			fmt.Fprintln(e.in, i, cl.local, cl.server)
			e.expect("published <nil>")
		})
		defer cl.Close()
		c := s.accept()
		if !c.Protected() {
			t.Fatal("the connection is unprotected")
		}
		io.WriteString(cl, "abc")
		step(t, c, "abc", "ABC")
		e.kill()
		io.WriteString(cl, "def")
		step(t, c, "def", "DEF")
		cl.expect("ABCDEF")
		open = append(open, fmt.Sprint(i, journal.Accepted, 6))
		e = startEngine(t, path)
		e.expect("resumed " + strings.Join(open, ", "))
	}
	ln.Close()
	s.engine.session.Close()
}
