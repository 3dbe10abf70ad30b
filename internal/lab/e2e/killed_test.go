package e2e

import (
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/runtimedir"
)

// killEngine ends ftnet by SIGKILL, and with it the server.
func (r *rig) killEngine() (id string, held []object) {
	r.t.Helper()
	d := r.recovered()
	held = objects(r.t, r.cmd.Process.Pid)
	if len(held) < 5 {
		r.t.Fatalf("the engine holds only these BPF objects: %v", held)
	}
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = r.wait()
	return d.Engine.ID, held
}

func has(list []string, id string) bool { return strings.Contains(strings.Join(list, " "), id) }

// TestEngineKilled: what a killed engine leaves behind is found, whatever
// runtime directory it had, and the next engine removes it. Clients dialled
// afterwards are served.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	r.dial().echo("hello")
	old, held := r.killEngine()
	if list := r.filters(); len(list) != 4 || !has(list, old) {
		t.Errorf("after the kill: filters %v", list)
	}
	if dirs, err := runtimedir.List(r.runtime); err != nil || len(dirs) != 1 || dirs[0].Alive {
		t.Errorf("after the kill: directories %v, %v", dirs, err)
	}
	r.runtime = publicDir(t)
	r.spawn(options{}, "probe", "-listen", ":7002")
	d := r.recovered()
	if list := r.filters(); len(list) != 4 || has(list, old) || !has(list, d.Engine.ID) {
		t.Errorf("after the next start: filters %v", list)
	}
	gone(t, held)
	r.dial().echo("hello")
}

// TestDoctorCleans: `ftnet doctor --clean` removes what a killed engine has
// left, and nothing of one that lives.
func TestDoctorCleans(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	old, held := r.killEngine()
	before := r.runtime
	r.doctor(before, "removed filters of engine "+old, "removed directory of engine "+old)
	gone(t, held)
	r.nothingLeft()

	r.spawn(options{}, "probe", "-listen", ":7002")
	c := r.dial()
	c.echo("hello")
	// With another runtime directory it sees the filters, but not the directory.
	out := r.doctor(publicDir(t))
	if strings.Contains(out, "removed") {
		t.Errorf("the doctor removed something of a living engine:\n%s", out)
	}
	if list := r.filters(); len(list) != 4 {
		t.Errorf("filters %v", list)
	}
	r.crash()
	c.echo("still protected")
}

// doctor runs `ftnet doctor --clean` and checks that it says the lines.
func (r *rig) doctor(runtimeDir string, lines ...string) string {
	r.t.Helper()
	out, err := r.lab.Server.Command(binary(r.t, "ftnet"), "doctor", "--clean", "--runtime-dir", runtimeDir, "--bpffs", r.bpffs).CombinedOutput()
	if err != nil {
		r.t.Errorf("doctor: %v\n%s", err, out)
	}
	for _, line := range lines {
		if !strings.Contains(string(out), line+"\n") {
			r.t.Errorf("the doctor does not say %q:\n%s", line, out)
		}
	}
	return string(out)
}

// TestTwoEngines: engines side by side leave each other alone.
func TestTwoEngines(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	c := r.dial()
	c.echo("hello")
	second := &rig{t: t, poll: statusPoll, lab: r.lab, runtime: publicDir(t), bpffs: r.bpffs}
	second.start(options{}, "counter", "-listen", ":7000")
	if list := r.filters(); len(list) != 8 {
		t.Errorf("filters %v", list)
	}
	second.crash()
	r.crash()
	c.echo("again")
	// The first to come is the first to go: what they share stays until the last.
	c.Close()
	_ = r.stop()
	if list := r.filters(); len(list) != 4 {
		t.Errorf("filters %v", list)
	}
	second.crash()
	second.end()
}

// TestSamePortTwice: a service that is started twice by mistake fails with a
// clear message, and the first one does not notice.
func TestSamePortTwice(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	c := r.dial()
	c.echo("hello")
	second := &rig{t: t, poll: statusPoll, lab: r.lab, runtime: publicDir(t), bpffs: r.bpffs}
	second.start(options{nowait: true, flags: []string{"--restart-limit", "2"}}, "probe", "-listen", "127.0.0.1:7002")
	for range 20 {
		x := r.dial()
		x.echo("hello")
		x.Close()
	}
	if code := second.exitStatus(); code != exitGaveUp {
		t.Errorf("exit status %d", code)
	}
	if !strings.Contains(second.out.String(), "another engine") {
		t.Errorf("the message does not name the reason:\n%s", &second.out)
	}
	c.echo("again")
	r.crash()
	c.echo("recovered")
	r.dial().echo("hello")
}

// TestServerDiesWithEngine: nobody is left to serve a port that a new engine
// is to protect.
func TestServerDiesWithEngine(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--user", "nobody"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			r := probe(t, options{flags: flags})
			server := watch(t, r.recovered().Process.PID)
			r.killEngine()
			server.ends()
			r.doctor(r.runtime)
		})
	}
}
