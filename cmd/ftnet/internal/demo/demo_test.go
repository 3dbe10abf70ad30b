package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/supervisor"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// The test binary plays every process of the show.
const (
	roleEnv    = "DEMO_TEST_ROLE"
	addressEnv = "DEMO_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "supervisor":
		os.Setenv(roleEnv, "server")
		s, err := supervisor.New(supervisor.Config{Command: os.Args[:1], StopTimeout: 10 * time.Second, RestartLimit: supervisor.NoLimit}, nil)
		if err == nil {
			err = s.Run(context.Background())
		}
		var stopped *supervisor.ExitError
		if err != nil && !asExit(err, &stopped) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "server":
		l, err := net.Listen("tcp", os.Getenv(addressEnv))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		Announce(os.Stdout, os.Getpid())
		Serve(l)
	case "clients":
		ctx, cancel := context.WithCancel(context.Background())
		go func() { io.Copy(io.Discard, os.Stdin); cancel() }()
		RunClients(ctx, ClientConfig{Address: os.Getenv(addressEnv), Clients: 3, Pace: 2 * time.Millisecond, Visitors: 20 * time.Millisecond}, os.Stdout)
	case "broken":
		fmt.Fprintln(os.Stderr, "out of paint")
		os.Exit(3)
	}
}

func asExit(err error, target **supervisor.ExitError) bool {
	e, ok := err.(*supervisor.ExitError)
	*target = e
	return ok
}

func TestLedger(t *testing.T) {
	var a, b Ledger
	if first := a.Add("x"); first == a.Add("x") {
		t.Error("the reply does not depend on what came before")
	}
	b.Add("x")
	if b.Add("x") == a.Add("x") {
		t.Error("the reply does not depend on how much came before")
	}
}

// talk runs clients against a server in this process until each has had a few
// replies or an error.
func talk(t *testing.T, serve func(net.Listener) error) Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { serve(l); close(served) }()
	defer func() { l.Close(); <-served }()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(RunClients(ctx, ClientConfig{Address: l.Addr().String(), Clients: 2, Visitors: time.Millisecond}, w))
	}()
	var last Report
	for dec := json.NewDecoder(r); ; {
		if err := dec.Decode(&last); err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			return last
		}
		enough := last.Visitors.Connections > 3 || last.Visitors.Errors > 0
		for _, c := range last.Clients {
			enough = enough && (c.Replies > 10 || c.Errors > 0)
		}
		if enough {
			cancel()
		}
	}
}

func TestClients(t *testing.T) {
	rep := talk(t, Serve)
	for i, c := range append(rep.Clients, rep.Visitors) {
		if c.Errors > 0 || c.Replies == 0 || c.Longest == 0 || c.Bytes < c.Replies*20 || c.LastReply == "" {
			t.Errorf("client %d: %+v", i, c)
		}
	}
	if !rep.Done || rep.Clients[0].Connections != 1 {
		t.Errorf("%+v", rep)
	}
}

// TestClientsNotice: a server that forgets, or goes away, is an error.
func TestClientsNotice(t *testing.T) {
	each := func(handle func(net.Conn, *bufio.Reader)) func(net.Listener) error {
		return func(l net.Listener) error {
			for {
				c, err := l.Accept()
				if err != nil {
					return err
				}
				go func() { defer c.Close(); handle(c, bufio.NewReader(c)) }()
			}
		}
	}
	for _, tt := range []struct {
		name, says string
		handle     func(net.Conn, *bufio.Reader)
	}{
		{"forgets", "wrong reply", func(c net.Conn, in *bufio.Reader) {
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprintln(c, new(Ledger).Add(strings.TrimSuffix(line, "\n")))
			}
		}},
		{"goes away", "ended the connection", func(c net.Conn, in *bufio.Reader) { in.ReadString('\n') }},
		{"aborts", "reset", func(c net.Conn, in *bufio.Reader) {
			in.ReadString('\n')
			c.(*net.TCPConn).SetLinger(0)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rep := talk(t, each(tt.handle))
			if c := rep.Clients[0]; c.Errors == 0 || !strings.Contains(c.LastError, tt.says) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// story is a made-up show, 4 s of 10, killed three times; the server is away now.
func story() *Story {
	s := &Story{Length: 10 * time.Second}
	s.Served(0, 100)
	var a, b, v ClientReport
	a.Connections, b.Connections = 1, 1
	for i := range 80 {
		at := time.Duration(i) * 50 * time.Millisecond
		switch i {
		case 10, 30, 70:
			s.Killed(at)
		case 11, 35:
			s.Served(at+10*time.Millisecond, 101+i)
		}
		a.Waiting, b.Waiting = time.Millisecond, time.Millisecond
		switch {
		case i == 10:
			a.Waiting = 35 * time.Millisecond
			a.Replies += 3
			b.Replies += 25
		case i >= 30 && i < 35 || i > 70:
			a.Waiting = time.Duration(i%10+1) * 50 * time.Millisecond
			b.Waiting = a.Waiting
		default:
			a.Replies += 12
			b.Replies += 50
		}
		a.Waited, b.Waited = a.Waiting, b.Waiting
		a.Longest, b.Longest = max(a.Longest, a.Waiting), max(b.Longest, b.Waiting)
		a.Bytes, b.Bytes = a.Replies*120, b.Replies*120
		if i%2 == 0 {
			v.Connections++
			v.Replies += 3
		}
		s.Report(at, Report{Clients: []ClientReport{a, b}, Visitors: v})
	}
	return s
}

func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFrame(t *testing.T) {
	s := story()
	golden(t, "frame.txt", s.Frame(Style{Width: 80}, "ftnet demo"))
	golden(t, "frame-narrow.txt", s.Frame(Style{Width: 50}, "ftnet demo"))
	golden(t, "frame-color.txt", s.Frame(Style{Width: 60, Color: true}, "ftnet demo"))
	golden(t, "frame-start.txt", (&Story{Length: 10 * time.Second}).Frame(Style{}, "ftnet demo"))
	golden(t, "table.txt", s.Result().Table(Style{}))
	s.Latest.Clients[0].Errors, s.Latest.Clients[0].LastError = 2, "connection reset by peer"
	golden(t, "table-errors.txt", append(s.Result().Table(Style{}), s.Summary()))
}

func TestScreens(t *testing.T) {
	t.Run("lines", func(t *testing.T) {
		var b bytes.Buffer
		sc := NewScreen(&b, "title")
		s := story()
		for _, at := range []time.Duration{0, 500, 1000, 1100, 2050} {
			s.Elapsed = at * time.Millisecond
			sc.Draw(s)
		}
		sc.Event(2100*time.Millisecond, "pid 7 killed")
		sc.Close()
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 4 || strings.Contains(b.String(), "\x1b") || !strings.HasSuffix(lines[3], "2.10 s  pid 7 killed") {
			t.Error(b.String())
		}
	})
	t.Run("terminal", func(t *testing.T) {
		var b bytes.Buffer
		sc := &terminal{out: &b, title: "title", width: func() int { return 60 }}
		sc.Draw(story())
		sc.Draw(story())
		sc.Close()
		sc.Close()
		out := b.String()
		if strings.Count(out, hideCursor) != 1 || strings.Count(out, showCursor) != 1 || strings.Count(out, "\x1b[8A") != 1 {
			t.Errorf("%q", out)
		}
	})
}

// quiet is a screen that counts and may act on what it sees.
type quiet struct {
	frames atomic.Int32
	draw   func(*Story)
	events []string
}

func (q *quiet) Draw(s *Story) {
	q.frames.Add(1)
	if q.draw != nil {
		q.draw(s)
	}
}
func (q *quiet) Event(_ time.Duration, text string) { q.events = append(q.events, text) }
func (q *quiet) Close()                             {}

func show(t *testing.T, stage *Stage, q *quiet) Config {
	env := func(role string) []string {
		return []string{"/usr/bin/env", roleEnv + "=" + role, addressEnv + "=" + stage.Address, os.Args[0]}
	}
	return Config{Stage: stage, Screen: q, Server: env("supervisor"), Client: env("clients"), Length: time.Hour}
}

func loopback(t *testing.T) *Stage {
	stage, err := LoopbackStage()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stage.Close)
	return stage
}

// TestShowWithoutProtection: the clients of a plain server see every crash.
func TestShowWithoutProtection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q := &quiet{}
	q.draw = func(s *Story) {
		if len(s.Kills) == 2 && s.PID != 0 && s.Result().Errors > 3 {
			cancel()
		}
	}
	cfg := show(t, loopback(t), q)
	cfg.Length, cfg.Kills = 1*time.Second, 2
	r, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kills != 2 || r.Starts != 3 || r.Errors == 0 || r.Replies == 0 || r.Connections < 4 {
		t.Errorf("%+v\n%s", r, strings.Join(q.events, "\n"))
	}
}

// TestShowOnNetwork: namespaces, no kill, no error, nothing left.
func TestShowOnNetwork(t *testing.T) {
	testenv.RequireRoot(t)
	stage, err := NetworkStage()
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pid int
	q := &quiet{draw: func(s *Story) {
		if r := s.Result(); r.Replies > 20 && r.Visitors > 1 {
			pid = s.PID
			cancel()
		}
	}}
	r, err := Run(ctx, show(t, stage, q))
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors != 0 || r.Starts != 1 {
		t.Errorf("%+v", r)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the server is left behind: %v", err)
	}
}

func TestShowFails(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"server": func(c *Config) { c.Server[1] = roleEnv + "=broken" },
		"client": func(c *Config) { c.Client[1] = roleEnv + "=broken" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := show(t, loopback(t), &quiet{})
			edit(&cfg)
			_, err := Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), "the "+name) || !strings.Contains(err.Error(), "out of paint") {
				t.Error(err)
			}
		})
	}
}
