package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/control/controltest"
	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/supervisor/output"
)

// dirEnv is the runtime directory of miniature engines.
const dirEnv = "SUPERVISOR_TEST_DIR"

// miniature is an engine of all that concerns processes, without packets. It
// does what its standard input says and prints what happens.
type miniature struct {
	NoHooks
	controltest.Engine
	socket string
	log    *output.Log

	mu sync.Mutex // guards what is printed
}

func (m *miniature) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

func runMiniature() int {
	dir := os.Getenv(dirEnv)
	m := &miniature{Engine: controltest.Engine{Service: "miniature"}, socket: filepath.Join(dir, "north.sock"), log: output.NewLog(0)}
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
	ln, err := controltest.Listen(m.socket)
	if err != nil {
		m.say("%v", err)
		return 1
	}
	record := &StateFile{Path: filepath.Join(dir, "state")}
	s, err := New(configured(Config{
		Command: os.Args[:1], Env: append(os.Environ(), roleEnv+"=server"), Survive: record,
		Stdin: null, Stdout: capture.Stdout, Stderr: capture.Stderr,
	}), m)
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
			m.say("published %v", m.Publish(text))
		}
	}
}

func (m *miniature) Starting(int) ([]string, error) {
	return []string{control.EnvPath + "=" + m.socket}, nil
}

func (m *miniature) Listening(_ *control.Peer, l control.Listening) (control.ListeningReply, error) {
	m.say("listening %s", l.Address)
	return control.ListeningReply{}, nil
}

func (m *miniature) Resumed(*control.Peer) error {
	m.say("resumed %s", m.Heads())
	return nil
}

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
	start := func() *controltest.Process {
		return controltest.Start(t, roleEnv+"=miniature", dirEnv+"="+dir)
	}
	var engine *controltest.Process
	t.Cleanup(func() {
		engine.Kill()
		if s, err := ReadState(filepath.Join(dir, "state"), nil); err == nil {
			if v, err := Find(s); err == nil {
				v.kill()
				v.bury()
			}
		}
	})
	engine = start()
	address := engine.Hear("listening ")
	var conns []net.Conn
	var sizes []int64 // of what each was sent, and so of what the server has recorded
	dial := func() {
		t.Helper()
		// A port that is free: the engine must know it before the server does.
		probe, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		local := probe.Addr().(*net.TCPAddr)
		probe.Close()
		engine.Tell(len(conns), local, address)
		engine.Expect("published <nil>")
		d := net.Dialer{LocalAddr: local, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns, sizes = append(conns, c), append(sizes, 0)
	}
	talk := func(round string) {
		t.Helper()
		for i, c := range conns {
			text := fmt.Sprint(round, i)
			sizes[i] += int64(len(text) + 1)
			fmt.Fprintln(c, text)
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if got, err := bufio.NewReader(c).ReadString('\n'); got != text+"\n" {
				t.Fatalf("%q, %v, want %s", got, err, text)
			}
		}
	}
	for round := range 5 {
		dial()
		talk(fmt.Sprint("with ", round, "."))
		engine.Kill()
		talk(fmt.Sprint("without ", round, "."))
		var heads []string
		for i, size := range sizes {
			heads = append(heads, controltest.Head(uint32(i), journal.Accepted, size))
		}
		engine = start()
		engine.Expect("found <nil>")
		engine.Expect("listening " + address)
		engine.Expect("resumed " + strings.Join(heads, ", "))
		engine.Tell("line", fmt.Sprint("without ", round, ".", len(conns)-1))
		engine.Expect("printed")
	}
	dial()
	talk("last")
	engine.Tell("stop")
	engine.Hear("ended stopped: killed by signal 15")
	if rest := engine.Rest(); rest != "" {
		t.Errorf("the engine says %q", rest)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
