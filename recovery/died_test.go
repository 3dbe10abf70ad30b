package recovery

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// told is an engine that notes what it is told of deaths.
type told struct {
	mu    sync.Mutex
	calls []string
}

func (o *told) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, fmt.Sprintf(format, args...))
}

func (o *told) Crash(ports ...uint16)   { o.note("crash %v", ports) }
func (o *told) Succeed(ports ...uint16) { o.note("succeed %v", ports) }
func (o *told) Release(port uint16)     { o.note("release %v", port) }

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.calls, ", ")
}

// mourned is a service whose server process serves a port, and another one a second port.
type mourned struct {
	*Service
	t      *testing.T
	engine told
	child  *exec.Cmd // serves 7001, as peer 1
}

// newMourned makes it. alone: the server process is the supervised one; else that is a
// process that lives on.
func newMourned(t *testing.T, alone bool, command ...string) *mourned {
	t.Helper()
	child := exec.Command(command[0], command[1:]...)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	m := &mourned{t: t, child: child,
		Service: newService(&Host{log: hclog.NewNullLogger()}, config.Service{Name: "test"}, Inherit{})}
	m.outages = &m.engine
	m.process.supervised = os.Getpid()
	if alone {
		m.process.supervised = child.Process.Pid
	}
	m.peers[1], m.peers[2] = child.Process.Pid, os.Getpid()
	m.ports[7001] = &port{owner: 1, protected: true, listening: true}
	m.ports[7002] = &port{owner: 2, protected: true, listening: true}
	m.process.becomeRunning(child.Process.Pid)
	return m
}

// ended waits until the server process has ended; nobody reaps it.
func (m *mourned) ended(kill bool) {
	m.t.Helper()
	if kill {
		_ = m.child.Process.Kill()
	}
	if err := unix.Waitid(unix.P_PID, m.child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		m.t.Fatal(err)
	}
}

// settles waits until nothing is unclear.
func (m *mourned) settles() {
	m.t.Helper()
	for began := time.Now(); m.ending(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			m.t.Fatal("it stays unclear")
		}
	}
}

// hear has a witness speak.
func (m *mourned) hear(by witness) {
	switch by {
	case reaped:
		e := supervisor.Exit{Kind: supervisor.Crashed, PID: m.process.supervised, Again: true}
		if m.process.supervised != 0 {
			m.process.supervised = 0
			m.process.becomeExited(e)
		}
		m.died(evidence{by: reaped, exit: e})
	case hungUp:
		north{m.Service}.Gone(&control.Peer{ID: 1, Cred: control.Credentials{PID: m.child.Process.Pid}}, nil)
	case replaced: // and protects it
		m.died(evidence{by: replaced, peer: 3, port: 7001})
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ports[7001].owner, m.peers[3] = 3, os.Getpid()
	}
}

// orders are the permutations of each selection of witnesses.
func orders(list []witness) (all [][]witness) {
	for i, first := range list {
		all = append(all, []witness{first})
		rest := append(slices.Clone(list[:i]), list[i+1:]...)
		for _, more := range orders(rest) {
			all = append(all, append([]witness{first}, more...))
		}
	}
	return all
}

// TestDeathInAnyOrder: a crash is one outage of the port, whoever witnesses it, in whatever
// order and however often; the ports of a process that lives are left alone until all is gone.
func TestDeathInAnyOrder(t *testing.T) {
	for _, order := range orders([]witness{reaped, hungUp, replaced}) {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			m := newMourned(t, false, "sleep", "1000")
			m.ended(true)
			var before time.Time
			for i, by := range order {
				for range 2 {
					m.hear(by)
				}
				p := m.ports[7001]
				if p.outages != 1 || p.listening || p.crashedAt.IsZero() {
					t.Fatalf("after %v: %+v", order[:i+1], p)
				}
				if i > 0 && p.crashedAt != before {
					t.Errorf("after %v: the outage began anew", order[:i+1])
				}
				before = p.crashedAt
				all := slices.Contains(order[:i+1], reaped)
				if other := m.ports[7002]; other.listening == all || (other.outages == 1) != all {
					t.Errorf("after %v: the other process's port: %+v", order[:i+1], other)
				}
			}
			if got := m.engine.String(); !strings.HasPrefix(got, "crash [7001") || strings.Contains(got, "release") {
				t.Error("the engine was told ", got)
			}
			if m.leaving != 0 {
				t.Error("all is known, and something is unclear")
			}
		})
	}
}

// TestSupervisedDeath: of the supervised process the supervisor tells, and how it was meant:
// the end of its control connection, which comes first, is none of its own.
func TestSupervisedDeath(t *testing.T) {
	for want, e := range map[string]supervisor.Exit{
		"crash [7001 7002]":          {Kind: supervisor.Crashed, Again: true},
		"succeed [7001 7002]":        {Kind: supervisor.Clean, Again: true},
		"release 7001, release 7002": {Kind: supervisor.Stopped},
	} {
		t.Run(e.Kind.String(), func(t *testing.T) {
			m := newMourned(t, true, "sleep", "1000")
			m.ended(true)
			m.hear(hungUp)
			if got := m.engine.String(); got != "" || !m.ending() {
				t.Errorf("before the supervisor has spoken: %q, ending %v", got, m.ending())
			}
			m.died(evidence{by: reaped, exit: e})
			m.hear(hungUp)
			if got := m.engine.String(); got != want {
				t.Errorf("the engine was told %q, want %q", got, want)
			}
		})
	}
}

// TestChildDeath: the end of a process that the supervised one has started is an outage at
// once if it has failed; if it may have been meant, as soon as the supervised process has
// lived on for a while; and none of its own in a stop.
func TestChildDeath(t *testing.T) {
	t.Run("failed", func(t *testing.T) {
		m := newMourned(t, false, "sh", "-c", "exit 3")
		m.ended(false)
		m.hear(hungUp)
		if got := m.engine.String(); got != "crash [7001]" {
			t.Errorf("the engine was told %q", got)
		}
	})
	t.Run("complete", func(t *testing.T) {
		m := newMourned(t, false, "true")
		m.ended(false)
		m.hear(hungUp)
		if got := m.engine.String(); got != "" || !m.ending() {
			t.Errorf("the engine was told %q at once", got)
		}
		_ = m.child.Wait()
		m.settles()
		if got := m.engine.String(); got != "crash [7001]" {
			t.Errorf("the engine was told %q", got)
		}
	})
	t.Run("replaced", func(t *testing.T) { // its successor's word ends the doubt
		m := newMourned(t, false, "true")
		m.ended(false)
		m.hear(hungUp)
		m.hear(replaced)
		if got := m.engine.String(); got != "crash [7001]" {
			t.Errorf("the engine was told %q", got)
		}
		m.ports[7001].crashedAt, m.ports[7001].listening = time.Time{}, true // and all is recovered
		_ = m.child.Wait()
		m.settles()
		if p := m.ports[7001]; !p.listening || p.outages != 1 {
			t.Errorf("late news of the one before: %+v", p)
		}
	})
	t.Run("with the supervised process", func(t *testing.T) {
		m := newMourned(t, false, "true")
		m.ended(false)
		m.hear(hungUp)
		e := supervisor.Exit{Kind: supervisor.Stopped}
		m.mu.Lock()
		m.process.supervised = 0
		m.mu.Unlock()
		m.died(evidence{by: reaped, exit: e})
		_ = m.child.Wait()
		m.settles()
		if got := m.engine.String(); got != "release 7001, release 7002" {
			t.Errorf("the engine was told %q", got)
		}
	})
	t.Run("stop", func(t *testing.T) {
		m := newMourned(t, false, "sleep", "1000")
		m.process.becomeStopping()
		m.ended(true)
		m.hear(hungUp)
		if got := m.engine.String(); got != "" || m.leaving != 0 {
			t.Errorf("the engine was told %q", got)
		}
	})
}

// TestLivingOwner: a port that another process asks for is no outage while its owner lives.
// If the owner's control connection then ends although it lives on, it can recover nothing.
func TestLivingOwner(t *testing.T) {
	m := newMourned(t, true, "sleep", "1000")
	m.died(evidence{by: replaced, peer: 3, port: 7001})
	m.hear(hungUp)
	if got := m.engine.String(); got != "" {
		t.Errorf("the engine was told %q at once", got)
	}
	m.settles()
	if got := m.engine.String(); got != "crash [7001]" {
		t.Errorf("the engine was told %q", got)
	}
}
