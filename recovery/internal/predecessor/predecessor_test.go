package predecessor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// dead is an engine that was killed.
type dead struct {
	Config
	t    *testing.T
	path string
}

// newDead makes one with the services "web" and "own".
func newDead(t *testing.T, log string) *dead {
	t.Helper()
	d := &dead{t: t, Config: Config{RuntimeDir: t.TempDir(), Engine: Engine{Log: log, Services: []string{"web", "own"}},
		Recover: true, Lasts: true, Logger: hclog.NewNullLogger()}}
	p, err := Find(d.Config)
	if err != nil || p.Found {
		t.Fatalf("%+v, %v", p, err)
	}
	d.path = p.Dir.Path
	if err := os.WriteFile(filepath.Join(d.path, runtimedir.StatusSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Dir.Leave(); err != nil {
		t.Fatal(err)
	}
	return d
}

// runs has it leave a process; the result says whether that lives.
func (d *dead) runs(service, socket string) (lives func() bool) {
	d.t.Helper()
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	d.records(service, socket, child.Process.Pid)
	return func() bool {
		st, err := procfs.ReadStat(child.Process.Pid)
		return err == nil && !st.Zombie
	}
}

func (d *dead) records(service, socket string, pid int) {
	d.t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		d.t.Fatal(err)
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		d.t.Fatal(err)
	}
	st, _ := procfs.ReadStat(pid) // of one that has ended nothing
	f := supervisor.StateFile{Path: StatePath(d.path, service), Note: Note{Service: service, Socket: socket}}
	err = f.Record(supervisor.State{PID: pid, Start: st.Start, Mark: "of " + filepath.Base(d.path), Boot: strings.TrimSpace(string(boot)), Space: space})
	if err != nil {
		d.t.Fatal(err)
	}
}

// exists reports whether a file of the engine's directory is there.
func (d *dead) exists(name string) bool {
	_, err := os.Stat(filepath.Join(d.path, name))
	return err == nil
}

// found is Find for an engine that ends with the test.
func found(t *testing.T, cfg Config) *Predecessor {
	t.Helper()
	p, err := Find(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestFind: the successor gets directory and processes, each process once, and only as what it is.
func TestFind(t *testing.T) {
	d := newDead(t, "disk:x")
	web, own := d.runs("web", ""), d.runs("own", "north-own.sock")
	p := found(t, d.Config)
	if !p.Found || p.Dir.Path != d.path || d.exists(runtimedir.StatusSocket) {
		t.Fatalf("%+v", p)
	}
	if !p.Adoptable("web", true) || p.Adoptable("web", false) || p.Adoptable("none", true) {
		t.Error("what is adoptable is not right")
	}
	v, err := p.Take("web", true)
	if err != nil || v == nil || v.Socket != "" {
		t.Fatalf("%+v, %v", v, err)
	}
	defer v.Release()
	if again, err := p.Take("web", true); again != nil || err != nil || p.Adoptable("web", true) || !web() {
		t.Errorf("again: %+v, %v", again, err)
	}
	if v, err := p.Take("own", true); v != nil || err != nil || own() || d.exists(filepath.Base(StatePath(d.path, "own"))) {
		t.Errorf("of another mode: %+v, %v", v, err)
	}
	if v, err := p.Take("none", true); v != nil || err != nil {
		t.Errorf("none: %+v, %v", v, err)
	}
}

// TestGoneAndUnreadable: a process that has ended is forgotten; where it cannot be read whether one
// lives, the directory stays, and its service is told.
func TestGoneAndUnreadable(t *testing.T) {
	d := newDead(t, "disk:x")
	d.records("web", "", 1<<30)
	if err := os.WriteFile(StatePath(d.path, "own"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Find(d.Config)
	if err != nil || !p.Found || p.Adoptable("web", true) || p.Adoptable("own", true) {
		t.Fatalf("%+v, %v", p, err)
	}
	if d.exists(filepath.Base(StatePath(d.path, "web"))) {
		t.Error("the process that has ended is not forgotten")
	}
	if v, err := p.Take("own", true); v != nil || err == nil {
		t.Errorf("%+v, %v", v, err)
	}
	if err := p.Close(); err == nil {
		t.Error("nobody is told of what cannot be ended")
	}
}

// TestNotTheSuccessor: an engine with another log, or without a service in common, or that is not to
// recover, has a directory of its own. It ends the processes that hold its services' ports.
func TestNotTheSuccessor(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*Config)
		ends bool
	}{
		"another log": {func(c *Config) { c.Log = "disk:y" }, true},
		"no recovery": {func(c *Config) { c.Recover = false }, true},
		"its own end": {func(c *Config) { c.Lasts = false }, true},
		"a stranger":  {func(c *Config) { c.Services = []string{"other"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDead(t, "disk:x")
			web := d.runs("web", "")
			cfg := d.Config
			test.edit(&cfg)
			p := found(t, cfg)
			if p.Found || p.Dir.Path == d.path || web() == test.ends || d.exists("") == test.ends {
				t.Errorf("found %v; the process lives: %v, its directory is there: %v", p.Found, web(), d.exists(""))
			}
		})
	}
}

// TestRelease: the processes of services that are not kept are ended.
func TestRelease(t *testing.T) {
	d := newDead(t, "disk:x")
	web, own := d.runs("web", ""), d.runs("own", "")
	p := found(t, d.Config)
	if ended, err := p.Release([]string{"own"}); err != nil || !slices.Equal(ended, []string{"web"}) || web() || !own() {
		t.Errorf("ended %v, %v", ended, err)
	}
}

// TestRefuse: without the gate the processes are ended, and the engine has another directory.
func TestRefuse(t *testing.T) {
	d := newDead(t, "disk:x")
	web := d.runs("web", "")
	p := found(t, d.Config)
	if err := p.Refuse(); err != nil || web() || p.Found || p.Dir.Path == d.path || d.exists("") {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir.Path, engineFile)); err != nil {
		t.Error(err)
	}
}

// TestLeave: an engine that cannot begin leaves all for the next attempt.
func TestLeave(t *testing.T) {
	d := newDead(t, "disk:x")
	web := d.runs("web", "")
	p := found(t, d.Config)
	if err := errors.Join(p.Leave(), p.Close()); err != nil || !web() {
		t.Errorf("%v", err)
	}
	if p := found(t, d.Config); !p.Found || !p.Adoptable("web", true) {
		t.Errorf("%+v", p)
	}
}

// TestClose: an engine that ends before all of its services were there leaves none of their
// processes behind, and no directory.
func TestClose(t *testing.T) {
	d := newDead(t, "disk:x")
	web := d.runs("web", "")
	p, err := Find(d.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil || web() || d.exists("") {
		t.Errorf("%v; the process lives: %v", err, web())
	}
}

// TestEnd: whose processes were ended is told.
func TestEnd(t *testing.T) {
	d := newDead(t, "disk:x")
	web := d.runs("web", "")
	lines, err := End(d.RuntimeDir)
	if want := "server process of service web of engine " + filepath.Base(d.path); err != nil || !slices.Equal(lines, []string{want}) || web() {
		t.Errorf("%q, %v", lines, err)
	}
}
