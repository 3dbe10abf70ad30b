package supervisor

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
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/recovery/daemon/output"
)

// dirEnv is the runtime directory of miniature engines.
const dirEnv = "SUPERVISOR_TEST_DIR"

// miniature is an engine of all that concerns processes, without packets. It
// does what its standard input says and prints what happens.
type miniature struct {
	NoHooks
	socket string

	mu  sync.Mutex // guards j, and what is printed
	j   *journal.Journal
	log *output.Log
}

func (m *miniature) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

func runMiniature() int {
	dir := os.Getenv(dirEnv)
	m := &miniature{socket: filepath.Join(dir, "north.sock"), log: output.NewLog(0)}
	capture, err := output.NewLasting(m.log, filepath.Join(dir, "out"))
	if err != nil {
		m.say("%v", err)
		return 1
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		m.say("%v", err)
		return 1
	}
	os.Remove(m.socket) // of the one before
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.socket, Net: "unix"})
	if err != nil {
		m.say("%v", err)
		return 1
	}
	record := &StateFile{Path: filepath.Join(dir, "state")}
	s, err := New(Config{
		Command: os.Args[:1], Env: append(os.Environ(), roleEnv+"=server"), Survive: record,
		Stdin: null, Stdout: capture.Stdout, Stderr: capture.Stderr,
	}, m)
	if err != nil {
		m.say("%v", err)
		return 1
	}
	if state, err := ReadState(record.Path, nil); err == nil {
		v, err := Find(state)
		m.say("found %v", err)
		if err == nil {
			s.TakeOver(v)
		}
	}
	served, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- control.Serve(served, ln, m) }()
	ctx, stop := context.WithCancel(context.Background())
	go m.obey(stop)
	m.say("ended %v", s.Run(ctx))
	cancel()
	<-done
	capture.Close()
	return 0
}

func (m *miniature) obey(stop func()) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var client, server string
		var slot uint32
		switch text := in.Text(); {
		case text == "stop":
			stop()
		case strings.HasPrefix(text, "line "): // as soon as the server has printed it
			for n := uint64(0); ; n++ {
				_ = m.log.Wait(context.Background(), n)
				if lines, _, _ := m.log.Read(nil, n, 1); lines[0].Text == text[len("line "):] {
					m.say("printed")
					break
				}
			}
		default:
			fmt.Sscan(text, &slot, &client, &server)
			m.say("published %v", m.j.Publish(slot, 1, journal.Flow{
				Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}))
		}
	}
}

func (m *miniature) Starting(int) ([]string, error) {
	return []string{control.EnvPath + "=" + m.socket}, nil
}

func (m *miniature) Hello(p *control.Peer) (w control.Welcome, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w = control.Welcome{Service: "miniature", Returns: true, FD: -1}
	if p.Hello.Resume {
		m.j, err = journal.Adopt(p.Memory, 64, 1024)
	} else if m.j, err = journal.Create(64, 1024); err == nil {
		w.FD = m.j.Fd()
	}
	return w, err
}

func (m *miniature) Listening(_ *control.Peer, l control.Listening) (control.ListeningReply, error) {
	m.say("listening %s", l.Address)
	return control.ListeningReply{}, nil
}

func (m *miniature) Resumed(*control.Peer) error {
	m.say("resumed %v", m.j.Slots())
	return nil
}

func (m *miniature) Protect(*control.Peer, control.Protect) error   { return nil }
func (m *miniature) Closed(*control.Peer, control.Closed) error     { return nil }
func (m *miniature) Mismatch(*control.Peer, control.Mismatch) error { return nil }
func (m *miniature) ReadLog(control.ReadLog, []byte) (int, error)   { return 0, nil }
func (m *miniature) Gone(*control.Peer, error)                      {}

// echoServer is the server that they supervise. It prints what it echoes.
func echoServer() int {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ln, err := ftnet.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return 1
		}
		if !c.(*ftnet.Conn).Protected() {
			fmt.Println("unprotected")
		}
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				fmt.Println(in.Text())
				fmt.Fprintln(c, in.Text())
			}
		}()
	}
}

// TestTogether: an engine is killed again and again. Its server goes on, and
// with it its connections and its output; each engine takes all of it over.
func TestTogether(t *testing.T) {
	requireOwnGroup(t)
	dir := t.TempDir()
	var engine *exec.Cmd
	var in io.Writer
	var out *bufio.Reader
	start := func() {
		engine = exec.Command(os.Args[0])
		engine.Env = append(os.Environ(), roleEnv+"=miniature", dirEnv+"="+dir)
		var err error
		if in, err = engine.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		pipe, err := engine.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.Start(); err != nil {
			t.Fatal(err)
		}
		out = bufio.NewReader(pipe)
	}
	kill := func() {
		engine.Process.Kill()
		engine.Wait()
	}
	hear := func(want string) string {
		t.Helper()
		s, err := out.ReadString('\n')
		got, ok := strings.CutPrefix(strings.TrimSpace(s), want)
		if !ok {
			t.Fatalf("the engine says %q, %v, want %q", s, err, want)
		}
		return got
	}
	t.Cleanup(func() {
		kill()
		if s, err := ReadState(filepath.Join(dir, "state"), nil); err == nil {
			if v, err := Find(s); err == nil {
				v.kill()
				v.bury()
			}
		}
	})
	start()
	address := hear("listening ")
	var conns []net.Conn
	dial := func() {
		t.Helper()
		// A port that is free: the engine must know it before the server does.
		probe, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		local := probe.Addr().(*net.TCPAddr)
		probe.Close()
		fmt.Fprintln(in, len(conns), local, address)
		hear("published <nil>")
		d := net.Dialer{LocalAddr: local, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
	}
	talk := func(round string) {
		t.Helper()
		for i, c := range conns {
			text := fmt.Sprint(round, i)
			fmt.Fprintln(c, text)
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if got, err := bufio.NewReader(c).ReadString('\n'); got != text+"\n" {
				t.Fatalf("%q, %v, want %s", got, err, text)
			}
		}
	}
	slots := ""
	for round := range 5 {
		dial()
		talk(fmt.Sprint("with ", round, "."))
		kill()
		talk(fmt.Sprint("without ", round, "."))
		slots = strings.TrimSpace(fmt.Sprint(slots, " ", round))
		start()
		hear("found <nil>")
		hear("listening " + address)
		hear("resumed [" + slots + "]")
		fmt.Fprintln(in, "line", fmt.Sprint("without ", round, ".", len(conns)-1))
		hear("printed")
	}
	dial()
	talk("last")
	fmt.Fprintln(in, "stop")
	hear("ended stopped: killed by signal 15")
	if rest, _ := io.ReadAll(out); len(rest) != 0 {
		t.Errorf("the engine says %q", rest)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
