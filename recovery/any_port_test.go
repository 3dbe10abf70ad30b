package recovery

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/recovery/config"
)

// soonAgain has clients wait a moment only for a listener that does not come back.
func soonAgain(c *HostConfig) {
	c.relisten = relisten{period: 10 * time.Millisecond, anyPort: 300 * time.Millisecond, quiet: 100 * time.Millisecond, fixed: 300 * time.Millisecond}
}

// until waits until the status says something of the service.
func (r *running) until(l *lab, what string, ok func(status.Program, []status.Service) bool) []status.Service {
	r.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // nothing tells of a change of the status
		p, ports := l.program(r.Name())
		if ok(p, ports) {
			return ports
		}
		if time.Since(began) > patience {
			r.t.Fatalf("waited in vain until %s: %+v, %+v", what, p, ports)
		}
	}
}

func listening(_ status.Program, ports []status.Service) bool {
	return !slices.ContainsFunc(ports, func(s status.Service) bool { return s.State != status.ServiceListening })
}

// TestAnyPort: a listener on any port gets the port of the one before, so that its
// clients go on.
func TestAnyPort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		t.Run(address, func(t *testing.T) {
			l := newLab(t, nil)
			s := l.run(server("any", "listen "+address))
			s.serves() // there is one port
			_, ports := l.program("any")
			a, err := config.ParseAddress(ports[0].Address)
			if err != nil {
				t.Fatal(err)
			}
			at := dialable(a).String()
			c := l.dial(at)
			c.expect("3", "add 3")
			for i := range 3 {
				s.kill(l)
				s.serves()
				if _, now := l.program("any"); len(now) != 1 || now[0].Address != ports[0].Address || now[0].Outages != uint64(i+1) {
					t.Fatalf("%+v", now)
				}
				c.expect([]string{"4", "5", "6"}[i], "add 1")
				l.dial(at).expect("1", "add 1")
			}
		})
	}
}

// TestAnyPortTwice: of two listeners on any port nobody can tell which is which after
// a crash. The clients of both get a RST, and the ports go.
func TestAnyPortTwice(t *testing.T) {
	l := newLab(t, soonAgain)
	s := l.run(server("twice", "listen 127.0.0.1:7011 127.0.0.1:0 127.0.0.1:0"))
	for range 2 {
		s.serves()
		ports := s.until(l, "three ports listen", func(p status.Program, ports []status.Service) bool { return len(ports) == 3 && listening(p, ports) })
		var lost []*client
		var stays *client
		for _, p := range ports {
			c := l.dial(p.Address)
			c.expect("3", "add 3")
			if p.Address == "127.0.0.1:7011" {
				stays = c
			} else {
				lost = append(lost, c)
			}
		}
		s.kill(l)
		stays.expect("4", "add 1")
		for _, c := range lost {
			if err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("a client of a port that is gone: %v", err)
			}
		}
		for _, p := range ports {
			if p.Address != "127.0.0.1:7011" {
				l.log.wait(t, "nobody listens at a port again", "address="+p.Address)
			}
		}
	}
	s.until(l, "the old ports are gone", func(_ status.Program, ports []status.Service) bool { return len(ports) == 3 })
	s.serves()
}

// TestPortNoLonger: a restarted server does not listen any more where it did.
func TestPortNoLonger(t *testing.T) {
	l := newLab(t, soonAgain)
	cfg := server("less", "listen 127.0.0.1:7012 127.0.0.1:7013")
	s := l.run(cfg)
	s.until(l, "both ports listen", func(p status.Program, ports []status.Service) bool { return len(ports) == 2 && listening(p, ports) })
	stays, lost := l.dial("127.0.0.1:7012"), l.dial("127.0.0.1:7013")
	stays.expect("1", "add 1")
	lost.expect("1", "add 1")
	setenv(&cfg, roleEnv, "listen 127.0.0.1:7012")
	if err := s.Restart(&cfg); err != nil {
		t.Fatal(err)
	}
	if err := lost.ended(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client of a port that is gone: %v", err)
	}
	stays.expect("2", "add 1")
	s.until(l, "the port is gone", func(p status.Program, ports []status.Service) bool { return len(ports) == 1 && listening(p, ports) })
	s.serves()
}
