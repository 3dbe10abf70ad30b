package recovery

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestServicesApart: the crash of one service is nothing to another.
func TestServicesApart(t *testing.T) {
	l := newLab(t, nil)
	one, two := l.run(server("one", "listen :7001")), l.run(server("two", "listen :7002"))
	one.serves()
	two.serves()
	a, b := l.dial("127.0.0.1:7001"), l.dial("127.0.0.1:7002")
	pid := two.pid(l)
	a.expect("1", "add 1")
	b.expect("2", "add 2")
	for i := range 3 {
		one.kill(l)
		one.serves()
		a.expect(strconv.Itoa(i+2), "add 1")
	}
	b.expect("4", "add 2")
	if p, ports := l.program("two"); p.Process.PID != pid || p.Process.Restarts != 0 || len(ports) != 1 || ports[0].Outages != 0 || ports[0].Connections != 1 {
		t.Errorf("%+v, %+v", p, ports)
	}
	if p, ports := l.program("one"); p.Process.Restarts != 3 || len(ports) != 1 || ports[0].Outages != 3 || ports[0].Recovered != 3 {
		t.Errorf("%+v, %+v", p, ports)
	}
}

func (r *running) pid(l *lab) int { return r.program(l).Process.PID }

// kill kills the server and waits until that is known.
func (r *running) kill(l *lab) {
	l.t.Helper()
	pid := r.pid(l)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
	for r.pid(l) == pid {
		time.Sleep(time.Millisecond)
	}
}

// TestRestart: connections are recovered, by a process with another environment.
func TestRestart(t *testing.T) {
	l := newLab(t, nil)
	cfg := server("one", "listen :7001")
	s := l.run(cfg)
	s.serves()
	c := l.dial("127.0.0.1:7001")
	first := s.pid(l)
	c.expect("5", "add 5")
	if err := s.Restart(nil); err != nil {
		t.Fatal(err)
	}
	if n := s.serves(); n != 1 {
		t.Errorf("%d connections recovered", n)
	}
	c.expect("7", "add 2")
	second := s.pid(l)
	if first == second {
		t.Error("the same process")
	}

	bad := cfg
	bad.Command = []string{"/ftnet/no/such/server"}
	var start *supervisor.StartError
	if err := s.Restart(&bad); !errors.As(err, &start) {
		t.Errorf("a command that does not exist: %v", err)
	}
	if c.expect("7", "add 0"); s.pid(l) != second {
		t.Error("another process")
	}

	setenv(&cfg, "GREETING", "hello")
	if err := s.Restart(&cfg); err != nil {
		t.Fatal(err)
	}
	s.serves()
	c.expect("8", "add 1")
	c.expect("hello", "env GREETING")
	p, ports := l.program("one")
	if p.Process.Restarts != 2 || !p.Ready || ports[0].Recovered != 2 || ports[0].Mismatches != 0 {
		t.Errorf("%+v, %+v", p, ports)
	}
	other := cfg
	other.Name = "another"
	if err := s.Restart(&other); err == nil {
		t.Error("another name was accepted")
	}
}

// TestStopAndStart: a stopped service's clients are told, its port is the
// kernel's, and it comes back.
func TestStopAndStart(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "listen :7001"))
	s.serves()
	for range 2 {
		c := l.dial("127.0.0.1:7001")
		c.expect("1", "add 1")
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.ended(); err != io.EOF {
			t.Errorf("the client of a stopped server sees %v", err)
		}
		if _, err := s.Await(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("Await: %v", err)
		}
		if p, ports := l.program("one"); p.Process.State != status.ProcessStopped || ports[0].State != status.ServiceStopped {
			t.Errorf("%+v, %+v", p, ports)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		s.serves()
	}
	l.dial("127.0.0.1:7001").expect("1", "add 1")
}

// TestRunAgain: a service that has ended can be run once more.
func TestRunAgain(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "listen :7001"))
	s.serves()
	c := l.dial("127.0.0.1:7001")
	c.send("exit 0")
	if err := s.ends(); err != nil {
		t.Error(err)
	}
	if _, err := s.Await(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("Await: %v", err)
	}
	if err := s.Restart(nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Restart: %v", err)
	}
	s = l.again(s.Service)
	for s.program(l).Process.State == status.ProcessEnded {
		time.Sleep(time.Millisecond)
	}
	s.serves()
	l.dial("127.0.0.1:7001").expect("1", "add 1")
}

func (r *running) program(l *lab) status.Program { p, _ := l.program(r.Name()); return p }

// TestAlways: after an exit with status 0 the server's clients are gone, but its
// new ones only wait.
func TestAlways(t *testing.T) {
	l := newLab(t, nil)
	cfg := server("one", "listen :7001")
	cfg.Restart.Policy = supervisor.Always
	s := l.run(cfg)
	s.serves()
	c := l.dial("127.0.0.1:7001")
	pid := s.pid(l)
	c.send("exit 0")
	if err := c.ended(); err != io.EOF {
		t.Errorf("the client sees %v", err)
	}
	if l.dial("127.0.0.1:7001").expect("1", "add 1"); s.pid(l) == pid {
		t.Error("the same process")
	}
}

// TestGivenUp: the clients of a server that crashes too often get a RST.
func TestGivenUp(t *testing.T) {
	l := newLab(t, nil)
	cfg := server("one", "listen :7001")
	cfg.Restart.Limit = 0
	s := l.run(cfg)
	s.serves()
	c := l.dial("127.0.0.1:7001")
	c.expect("1", "add 1")
	s.kill(l)
	if err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	var gaveUp *supervisor.GaveUpError
	if err := s.ends(); !errors.As(err, &gaveUp) {
		t.Errorf("Run returned %v", err)
	}
}

// TestConflicts: names and ports belong to one service.
func TestConflicts(t *testing.T) {
	l := newLab(t, nil)
	l.run(server("one", "listen :7001", ":7001")).serves()
	for _, tt := range []struct {
		cfg  config.Service
		says string
	}{
		{server("one", "listen :7002"), `a service "one" already`},
		{server("two", "plain :7002 :7001", ":7002", "127.0.0.1:7001"), `port 7001 belongs to the service "one"`},
	} {
		if _, err := l.add(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
	// What failed has left nothing behind: name and ports are free.
	s, err := l.add(server("two", "plain :7002", ":7002"))
	if err != nil {
		t.Fatal(err)
	}
	claim, err := runtimedir.Ports{}.Claim(t.Context(), ownership.Service{Port: 7003})
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	if _, err := l.add(server("three", "plain :7003", ":7003")); !errors.Is(err, runtimedir.ErrPortTaken) {
		t.Errorf("a port of another engine: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if got := len(l.Document().Programs); got != 1 {
		t.Errorf("%d programs", got)
	}
}

// TestNotConfigured: where listen is given a server gets no other port.
func TestNotConfigured(t *testing.T) {
	for _, tt := range []struct {
		listen, asked string
		ok            bool
	}{
		{":7001", "127.0.0.1:7001", true},
		{"127.0.0.1:7001", "127.0.0.1:7001", true},
		{"127.0.0.1:7001", "localhost:7001", true},
		{"127.0.0.1:7001", ":7001", false},
		{":7001", ":7002", false},
	} {
		t.Run(tt.listen+" "+tt.asked, func(t *testing.T) {
			l := newLab(t, nil)
			cfg := server("one", "listen "+tt.asked, tt.listen)
			cfg.Restart.Limit = 0
			s := l.run(cfg)
			if tt.ok {
				s.serves()
				return
			}
			if err := s.ends(); err == nil {
				t.Error("it went on")
			}
			l.log.wait(t, "not among the configured addresses")
		})
	}
}

// TestAwaitEnds: Await does not outlast its context.
func TestAwaitEnds(t *testing.T) {
	l := newLab(t, nil)
	s, err := l.add(server("one", "listen :7001"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Await(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Await: %v", err)
	}
}

// TestWithoutRoom: an engine for servers that call ftnet.Listen takes no others.
func TestWithoutRoom(t *testing.T) {
	l := newLab(t, func(c *HostConfig) { c.Unmodified = false })
	if _, err := l.add(server("one", "plain :7001", ":7001")); err == nil || !strings.Contains(err.Error(), "without room") {
		t.Errorf("error %v", err)
	}
	l.run(server("two", "listen :7002")).serves()
	if err := l.Works(); err != nil {
		t.Error(err)
	}
}
