package recovery

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/recovery/config"
)

// otherPort restarts a server that has a client at one port as one that listens on another.
func otherPort(t *testing.T, edit func(*HostConfig)) (*lab, *running, *client) {
	t.Helper()
	l := newLab(t, edit)
	cfg := server("moved", "listen 127.0.0.1:7961")
	s := l.run(cfg)
	s.serves()
	c := l.dial("127.0.0.1:7961")
	c.expect("1", "add 1")
	s.until(l, "a handshake was tried", func(_ status.Program, ports []status.Service) bool { return len(ports[0].Handshakes) > 0 })
	setenv(&cfg, roleEnv, "listen 127.0.0.1:7962")
	if err := s.Restart(&cfg); err != nil {
		t.Fatal(err)
	}
	return l, s, c
}

// patientRelisten has clients of an abandoned port wait longer than the test.
func patientRelisten(c *HostConfig) {
	c.relisten = relisten{period: 10 * time.Millisecond, anyPort: time.Hour, quiet: 100 * time.Millisecond, fixed: time.Hour}
}

// TestAbandonedPort: a service is ready when its process listens where it has asked to,
// though clients wait at a port of the process before; so it is after each restart, and
// after a stop those ports are given up.
func TestAbandonedPort(t *testing.T) {
	l, s, _ := otherPort(t, patientRelisten)
	for range 2 {
		s.serves()
		if p, ports := l.program("moved"); !p.Ready || len(ports) != 2 || ports[0].State != status.ServiceOutage || ports[0].Handshakes != nil {
			t.Errorf("%+v, %+v", p, ports)
		}
		l.dial("127.0.0.1:7962").expect("1", "add 1")
		if err := s.Restart(nil); err != nil {
			t.Fatal(err)
		}
	}
	s.serves()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.serves()
	s.until(l, "the abandoned port is gone", func(p status.Program, ports []status.Service) bool { return p.Ready && len(ports) == 1 })
}

// TestAbandonedPortExpires: its clients get a RST in the end.
func TestAbandonedPortExpires(t *testing.T) {
	l, s, c := otherPort(t, soonAgain)
	s.serves()
	if err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client of an abandoned port: %v", err)
	}
	s.until(l, "the port is gone", func(p status.Program, ports []status.Service) bool { return p.Ready && len(ports) == 1 })
}

// TestAbandonedPortComesBack: a port that the next process asks for again is recovered.
func TestAbandonedPortComesBack(t *testing.T) {
	l, s, c := otherPort(t, patientRelisten)
	s.serves()
	cfg := server("moved", "listen 127.0.0.1:7961")
	if err := s.Restart(&cfg); err != nil {
		t.Fatal(err)
	}
	if n := s.serves(); n != 1 {
		t.Errorf("%d connections are recovered", n)
	}
	c.expect("2", "add 1")
	if p, _ := l.program("moved"); !p.Ready {
		t.Errorf("%+v", p)
	}
}

// TestNotServing: who has waited in vain is told where nobody listens.
func TestNotServing(t *testing.T) {
	_, s, _ := otherPort(t, func(c *HostConfig) { patientRelisten(c); c.relisten.quiet = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.Await(ctx)
	var missing *NotServingError
	if !errors.As(err, &missing) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "127.0.0.1:7961") {
		t.Errorf("%v", err)
	}
}

// TestGivenUpWhileDraining: a port whose listener was closed and that has no connection is
// given up, also while the service, which was stopped, waits for those of another port.
func TestGivenUpWhileDraining(t *testing.T) {
	l := newLab(t, func(c *HostConfig) { patientRelisten(c); c.relisten.period = time.Second }) // longer than the process takes to end
	cfg := server("closing", "listen-close 127.0.0.1:7961 127.0.0.1:7962")
	cfg.Drain = 3 * time.Second
	s := l.run(cfg)
	s.until(l, "it listens at both", func(p status.Program, ports []status.Service) bool { return len(ports) == 2 && listening(p, ports) })
	l.dial("127.0.0.1:7962").expect("1", "add 1") // it does not close
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ports := l.program("closing"); len(ports) > 1 {
		t.Errorf("%+v", ports)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.serves()
}

// TestGiveUpAgain: what Restart has claimed for a process that could not be started may have
// been given up meanwhile, for nobody listens there.
func TestGiveUpAgain(t *testing.T) {
	s := newService(&Host{engine: &inherits{}, log: hclog.NewNullLogger()}, config.Service{Name: "test"}, Inherit{})
	s.admitting.Lock()
	defer s.admitting.Unlock()
	if err := s.giveUp(7961); err != nil {
		t.Error(err)
	}
}
