package recovery

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// inherits is an engine that finds something of its predecessor's at one port.
type inherits struct {
	engine
	told
	port uint16
}

func (e *inherits) Crash(ports ...uint16)   { e.told.Crash(ports...) }
func (e *inherits) Succeed(ports ...uint16) { e.told.Succeed(ports...) }
func (e *inherits) Release(port uint16)     { e.told.Release(port) }
func (e *inherits) Unprotect(uint16) error  { return nil }

func (e *inherits) TakeOver(_ context.Context, h rawio.Heir, protect func(uint16) error) error {
	e.note("take over %s %v, adopt %v, journal %v", h.Service, h.Ports, h.Adopt, h.Journal != nil)
	if h.Adopt && h.Journal == nil && !h.Unmodified {
		return nil
	}
	return protect(e.port)
}

func (e *inherits) Protect(s rawio.Service) error {
	e.note("protect %d, adopt %v", s.Port, s.Adopt)
	return nil
}

func (e *inherits) ReleaseUnclaimed(claimed func(uint16) bool) error {
	e.note("release but %d: %v", e.port, claimed(e.port))
	return nil
}

// happens checks what the engine was told since the last call.
func (e *inherits) happens(t *testing.T, want ...string) {
	t.Helper()
	if got := e.String(); got != strings.Join(want, ", ") {
		t.Errorf("the engine was told\n%s\nwant\n%s", got, strings.Join(want, ", "))
	}
	e.calls = nil
}

// successor is a host whose predecessor has left a process of the service "web", or none. Its
// engine finds something at port 7001 of that.
type successor struct {
	*Host
	engine *inherits
	child  int
}

func newSuccessor(t *testing.T, lives bool, socket string) *successor {
	t.Helper()
	cfg := HostConfig{Unmodified: true, Services: []config.Service{web(config.ModeListen), {Name: "other", Listen: []string{":7003"}}}}
	cfg.RuntimeDir, cfg.MaxConnections = t.TempDir(), 8
	pcfg := predecessor.Config{RuntimeDir: cfg.RuntimeDir, Engine: predecessor.Engine{Log: "disk:x", Services: cfg.names()},
		Recover: true, Lasts: true, Logger: hclog.NewNullLogger()}
	s := &successor{engine: &inherits{port: 7001}}
	if lives {
		dead, err := predecessor.Find(pcfg)
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command("sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
		s.child = child.Process.Pid
		leaveProcess(t, dead.Dir.Path, "web", socket, s.child)
		if err := dead.Dir.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := predecessor.Find(pcfg)
	if err != nil || before.Found != lives {
		t.Fatalf("found: %v, %v", before, err)
	}
	s.Host = &Host{cfg: cfg, log: hclog.NewNullLogger(), before: before, engine: s.engine, byPort: map[uint16]*Service{}, ownership: runtimedir.Ports{}}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	s.starting, s.giveUp = context.WithCancel(s.ctx)
	s.onClose(before.Close)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// web is the service: its server may listen at port 7001.
func web(mode config.Mode) config.Service {
	cfg := config.NewService("web", mode, "/bin/true")
	cfg.Listen = []string{"127.0.0.1:7001"}
	return cfg
}

// leaveProcess notes a process in an engine's directory as its supervisor does.
func leaveProcess(t *testing.T, dir, service, socket string, pid int) {
	t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ReadStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	f := supervisor.StateFile{Path: predecessor.StatePath(dir, service), Note: predecessor.Note{Service: service, Socket: socket}}
	err = f.Record(supervisor.State{PID: pid, Start: st.Start, Mark: "of " + filepath.Base(dir), Boot: strings.TrimSpace(string(boot)), Space: space})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAddRestores: what a process that is gone has left is taken over before one is started, with
// a journal, in an outage.
func TestAddRestores(t *testing.T) {
	for _, mode := range []config.Mode{config.ModeListen, config.ModeUnmodified} {
		h := newSuccessor(t, false, "")
		s, err := h.Add(web(mode), Inherit{})
		if err != nil {
			t.Fatal(err)
		}
		h.engine.happens(t, fmt.Sprintf("take over web [7001], adopt false, journal %v", mode == config.ModeListen), "protect 7001, adopt false")
		if s.isAdopting() || s.ports[7001].crashedAt.IsZero() || !s.ports[7001].protected {
			t.Errorf("%+v", s.ports[7001])
		}
		if h.Settled(); h.engine.calls[0] != "release but 7001: true" {
			t.Error(h.engine.calls)
		}
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// TestAddAdoptsUnmodified: such a process has nothing to hand back. It is adopted at once, and
// there is no outage.
func TestAddAdoptsUnmodified(t *testing.T) {
	h := newSuccessor(t, true, "")
	s, err := h.Add(web(config.ModeUnmodified), Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	h.engine.happens(t, "take over web [7001], adopt true, journal false", "protect 7001, adopt true")
	if s.isAdopting() || !s.ports[7001].crashedAt.IsZero() || s.survivor.State().PID != h.child {
		t.Errorf("adopting: %v, %+v", s.isAdopting(), s.ports[7001])
	}
}

// TestAddAdoptsListener: nothing is taken over before the process has come back with its journal
// and told its listeners; and ports are nobody's only when all services are there, however early
// the process comes.
func TestAddAdoptsListener(t *testing.T) {
	h := newSuccessor(t, true, "north-web.sock")
	s, err := h.Add(web(config.ModeListen), Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	h.engine.happens(t, "take over web [7001], adopt true, journal false")
	j, err := journal.Create(8, 8*pagesPerConn)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	peer := &control.Peer{ID: 1, Cred: control.Credentials{PID: h.child}, Hello: control.Hello{Resume: true}, Memory: j.Fd()}
	if _, err := (north{s}).Hello(peer); err != nil {
		t.Fatal(err)
	}
	if err := (north{s}).Resumed(peer); err != nil {
		t.Fatal(err)
	}
	h.engine.happens(t, "take over web [7001], adopt true, journal true", "protect 7001, adopt true")
	if s.isAdopting() || !s.ports[7001].crashedAt.IsZero() {
		t.Errorf("adopting: %v, %+v", s.isAdopting(), s.ports[7001])
	}
	h.Settled()
	h.engine.happens(t, "release but 7001: true")
}

// TestAdoptedProcessEnds: connections of one that ends before it has come back are recovered, in
// an outage.
func TestAdoptedProcessEnds(t *testing.T) {
	h := newSuccessor(t, true, "north-web.sock")
	s, err := h.Add(web(config.ModeListen), Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	h.Settled()
	h.engine.happens(t, "take over web [7001], adopt true, journal false")
	hooks{s}.Exited(supervisor.Exit{Kind: supervisor.Crashed, PID: h.child, Again: true})
	h.engine.happens(t, "take over web [7001], adopt false, journal true", "protect 7001, adopt false", "release but 7001: true", "crash [7001]")
	if s.isAdopting() || s.ports[7001].crashedAt.IsZero() {
		t.Errorf("adopting: %v, %+v", s.isAdopting(), s.ports[7001])
	}
}

// TestHeirs: the ports of services are held from the engine's first packet on, but for those whose
// process lives, and for ports of another engine.
func TestHeirs(t *testing.T) {
	for _, test := range []struct {
		name  string
		lives bool
		want  []rawio.Heir
	}{
		{"all are gone", false, []rawio.Heir{{Service: "web", Ports: []uint16{7001}}, {Service: "other", Ports: []uint16{}, Unmodified: true}}},
		{"one lives", true, []rawio.Heir{{Service: "other", Ports: []uint16{}, Unmodified: true}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			claim, err := runtimedir.Ports{}.Claim(t.Context(), ownership.Service{Port: 7003})
			if err != nil {
				t.Fatal(err)
			}
			defer claim.Release()
			h := newSuccessor(t, test.lives, "north-web.sock")
			h.cfg.Services[1].Mode = config.ModeUnmodified
			got := h.heirs()
			if !slices.EqualFunc(got, test.want, func(a, b rawio.Heir) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}
