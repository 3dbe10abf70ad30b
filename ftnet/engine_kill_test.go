//go:build linux

package ftnet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/control/controltest"
	"github.com/ftnet/ftnet/internal/journal"
)

const engineEnv = "FTNET_TEST_ENGINE"

// killedEngine is the process that TestEngineKilled kills: it publishes what
// its standard input says, and tells what it has taken over.
type killedEngine struct{ controltest.Engine }

func runKilledEngine() {
	e := &killedEngine{controltest.Engine{Service: "test"}}
	ln, err := controltest.Listen(os.Getenv(engineEnv))
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	go control.Serve(context.Background(), ln, e)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println("published", e.Publish(in.Text()))
	}
	os.Exit(0)
}

func (e *killedEngine) Resumed(*control.Peer) error {
	fmt.Println("resumed", e.Heads())
	return nil
}

func startEngine(t *testing.T, path string) *controltest.Process {
	t.Helper()
	e := controltest.Start(t, engineEnv+"="+path)
	e.Expect("ready")
	return e
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
			e.Tell(i, cl.local, cl.server)
			e.Expect("published <nil>")
		})
		defer cl.Close()
		c := s.accept()
		if !c.Protected() {
			t.Fatal("the connection is unprotected")
		}
		io.WriteString(cl, "abc")
		step(t, c, "abc", "ABC")
		e.Kill()
		io.WriteString(cl, "def")
		step(t, c, "def", "DEF")
		cl.expect("ABCDEF")
		open = append(open, controltest.Head(uint32(i), journal.Accepted, 6))
		e = startEngine(t, path)
		e.Expect("resumed " + strings.Join(open, ", "))
	}
	ln.Close()
	s.engine.session.Close()
}
