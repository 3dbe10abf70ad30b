package recovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/internal/status"
	logmemory "github.com/ftnet/ftnet/logserver/memory"
)

// TestUnmodified: a server that knows nothing of ftnet.
func TestUnmodified(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "plain :7001 127.0.0.1:7002", ":7001", "127.0.0.1:7002"))
	s.serves()
	a, b := l.dial("127.0.0.1:7001"), l.dial("127.0.0.1:7002")
	for i := range 4 {
		a.expect(strconv.Itoa(i+1), "add 1")
		b.expect(strconv.Itoa(2*i+2), "add 2")
		s.kill(l)
		if n := s.serves(); n != 2 {
			t.Errorf("%d connections recovered", n)
		}
	}
	d := l.Document()
	for _, c := range d.Connections {
		if c.Program != "one" || c.Protection != status.Protected || !strings.Contains(c.How, "wire") || c.Recoveries != 4 {
			t.Errorf("%+v", c)
		}
	}
	if p, ports := l.program("one"); p.Mode != "unmodified" || len(ports) != 2 || ports[0].Outages != 4 || ports[0].Mismatches != 0 {
		t.Errorf("%+v, %+v", p, ports)
	}
}

// TestBesides: servers of both modes on one engine.
func TestBesides(t *testing.T) {
	l := newLab(t, nil)
	one, two := l.run(server("one", "listen :7001")), l.run(server("two", "plain :7002", ":7002"))
	one.serves()
	two.serves()
	a, b := l.dial("127.0.0.1:7001"), l.dial("127.0.0.1:7002")
	for i := range 3 {
		a.expect(strconv.Itoa(i+1), "add 1")
		b.expect(strconv.Itoa(i+1), "add 1")
		one.kill(l)
		two.kill(l)
		one.serves()
		two.serves()
	}
}

// TestListensLate: nothing counts as serving before the server listens.
func TestListensLate(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "late :7001", ":7001"))
	began := time.Now()
	s.serves()
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("after %v", took)
	}
	l.dial("127.0.0.1:7001").expect("1", "add 1")
}

// TestPortTaken: a port on which somebody else listens is not taken for the server's.
func TestPortTaken(t *testing.T) {
	l := newLab(t, nil)
	ln, err := net.Listen("tcp", ":7001")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := l.run(server("one", "plain :7001", ":7001"))
	var taken *PortTakenError
	if err := s.ends(); !errors.As(err, &taken) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", os.Getpid())) {
		t.Errorf("Run returned %v", err)
	}
	ln.Close()
	l.again(s.Service)
	l.log.wait(t, "listening", "service=one")
}

// TestBackground: a server that forks and exits is refused, and what it has
// left is ended.
func TestBackground(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "background :7001", ":7001"))
	var background *BackgroundError
	if err := s.ends(); !errors.As(err, &background) || !strings.Contains(err.Error(), "foreground") {
		t.Fatalf("Run returned %v", err)
	}
	if background.PID == 0 || strings.Contains(background.By, fmt.Sprint(background.PID)) || !strings.HasPrefix(background.By, "process ") {
		t.Errorf("%+v", background)
	}
	if left, err := sockdiag.Listeners([]uint16{7001}); err != nil || len(left) > 0 {
		t.Errorf("%v still listen, %v", left, err)
	}
}

// TestStray: a port that was not configured is not protected, which is said.
func TestStray(t *testing.T) {
	l := newLab(t, nil)
	l.run(server("one", "plain :7001 :7005", ":7001")).serves()
	l.log.wait(t, "not in its configuration", "port=7005")
}

// TestWorkersCrash: the connections of a worker are recovered while the main
// process goes on, and the log says which.
func TestWorkersCrash(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "prefork :7001", ":7001"))
	s.serves()
	pid := s.pid(l)
	var clients []*client
	for range 6 {
		c := l.dial("127.0.0.1:7001")
		c.expect("1", "add 1")
		clients = append(clients, c)
	}
	for _, worker := range procfs.Children(pid) {
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		c.expect("2", "add 1")
	}
	l.log.wait(t, "a process of the server crashed", "killed by signal 9", "connections=")
	if p := s.program(l); p.WorkerCrashes == 0 || p.Process.Restarts != 0 || p.Process.PID != pid {
		t.Errorf("%+v", p)
	}
}

// TestMainCrash: with the main process all workers end, and all connections
// are recovered.
func TestMainCrash(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "prefork :7001", ":7001"))
	s.serves()
	workers := procfs.Children(s.pid(l))
	var clients []*client
	for range 6 {
		c := l.dial("127.0.0.1:7001")
		c.expect("1", "add 1")
		clients = append(clients, c)
	}
	s.kill(l)
	if n := s.serves(); n != len(clients) {
		t.Errorf("%d connections recovered", n)
	}
	for _, w := range workers {
		if err := syscall.Kill(w, 0); err != syscall.ESRCH {
			t.Errorf("worker %d: %v", w, err)
		}
	}
	for _, c := range clients {
		c.expect("2", "add 1")
	}
	if p := s.program(l); p.WorkerCrashes != 0 || p.Process.Restarts != 1 {
		t.Errorf("%+v", p)
	}
}

// TestOtherPorts: with a restart a server may get other ports. The connections
// of those that it keeps go on, the others get a RST.
func TestOtherPorts(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "plain :7001 :7002", ":7001", ":7002"))
	s.serves()
	kept, lost := l.dial("127.0.0.1:7001"), l.dial("127.0.0.1:7002")
	kept.expect("1", "add 1")
	lost.expect("1", "add 1")
	next := server("one", "plain :7001 :7003", ":7001", ":7003")
	if err := s.Restart(&next); err != nil {
		t.Fatal(err)
	}
	s.serves()
	kept.expect("2", "add 1")
	if err := lost.ended(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client of a port that is gone sees %v", err)
	}
	fresh := l.dial("127.0.0.1:7003")
	fresh.expect("1", "add 1")
	s.kill(l)
	s.serves()
	kept.expect("3", "add 1")
	fresh.expect("2", "add 1")
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, ports := l.program("one"); len(ports) == 2 {
			break
		} else if time.Since(began) > patience {
			t.Fatalf("%+v", ports)
		}
	}
	l.run(server("two", "plain :7002", ":7002")).serves() // it is free again
}

// TestPortsChangeAtOnce: a process starts, and has its ports protected, while a reload
// takes ports and gives them up.
func TestPortsChangeAtOnce(t *testing.T) {
	l := newLab(t, nil)
	s := l.run(server("one", "plain :7001", ":7001"))
	s.serves()
	more := []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, 7005)}
	done := make(chan error, 1)
	go func() {
		var errs []error
		for range 20 {
			fresh, err := s.claimListen(more)
			for len(s.portList(protected)) < 2 && t.Context().Err() == nil {
				runtime.Gosched()
			}
			s.admitting.Lock()
			errs = append(errs, err, s.giveUp(fresh...))
			s.admitting.Unlock()
		}
		done <- errors.Join(errs...)
	}()
	for over := false; !over; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			over = true
		default:
		}
		if err := s.protectAll(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ports := l.program("one"); len(ports) != 1 {
		t.Errorf("%+v", ports)
	}
}

// stepLog calls step, if there is one, when the engine begins to protect a port, and before
// it does.
type stepLog struct {
	*logmemory.Log
	step atomic.Pointer[func()]
}

func (l *stepLog) RegisterService(port uint16) error {
	if step := l.step.Swap(nil); step != nil {
		(*step)()
	}
	return l.Log.RegisterService(port)
}

// TestGivenUpForGood: a port that is given up while a new configuration is applied is not
// protected again: another service may have it.
func TestGivenUpForGood(t *testing.T) {
	next := server("one", "plain :7001", ":7001")
	for name, change := range map[string]func(*Service) error{
		"update": func(s *Service) error { return s.Update(next) },
		"start":  func(s *Service) error { return s.apply(next) },
	} {
		t.Run(name, func(t *testing.T) {
			memory, err := logmemory.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			log := &stepLog{Log: memory}
			t.Cleanup(func() { memory.Close() })
			l := newLab(t, func(c *HostConfig) { c.Store = log })
			s := l.run(next)
			s.serves()
			more := []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, 7005)}
			fresh, err := s.claimListen(more)
			if err == nil {
				err = s.protectAll()
			}
			if err != nil {
				t.Fatal(err)
			}
			given := make(chan error, 1)
			step := func() {
				done := make(chan struct{})
				go func() {
					s.admitting.Lock()
					given <- s.giveUp(fresh...)
					s.admitting.Unlock()
					close(done)
				}()
				select {
				case <-done:
				case <-time.After(100 * time.Millisecond): // it has to wait
				}
			}
			log.step.Store(&step)
			if err := change(s.Service); err != nil {
				t.Error(err)
			}
			if err := <-given; err != nil {
				t.Fatal(err)
			}
			two := l.run(server("two", "listen :7005"))
			two.serves()
			l.dial("127.0.0.1:7005").expect("1", "add 1")
		})
	}
}
