package e2e

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/workload"
)

// killAlone ends ftnet by SIGKILL and returns when it is gone, and the process that
// its server has, which lives on. It keeps ftnet's output open as long as that.
func (r *rig) killAlone() (server int) {
	r.t.Helper()
	d := r.waitStatus("a server process runs", func(d *status.Document) bool { return d.Process.PID != 0 })
	pidfd, err := unix.PidfdOpen(r.cmd.Process.Pid, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000); n != 1 || err != nil {
		r.t.Fatalf("the engine lives on: %v", err)
	}
	if unix.Kill(d.Process.PID, 0) != nil {
		r.t.Errorf("the server, process %d, has died with its engine", d.Process.PID)
	}
	return d.Process.PID
}

// TestEngineKilledAlone: the engine is killed ten times under load; each time the next
// one goes on with the server process, which does not notice, and its connections.
func TestEngineKilledAlone(t *testing.T) {
	for _, b := range lasting {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			killedAlone(t, b, options{}, binary(t, "counter"))
		})
		t.Run(b.name+"-unmodified", func(t *testing.T) {
			t.Parallel()
			killedAlone(t, b, unmodifiedOptions(7000), plainCounter(t))
		})
	}
}

func killedAlone(t *testing.T, b backend, o options, server string) {
	r := prepare(t, o)
	o.flags = append(o.flags, b.flags(r, filepath.Base(server))...)
	r.spawn(o, server, "-listen", ":7000")
	load := r.load()
	first := r.recovered().Process.PID
	random := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		load.served()
		pause(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		if pid := r.killAlone(); pid != first {
			t.Errorf("the server is process %d, was %d", pid, first)
		}
		pause(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		r.start(o, server, "-listen", ":7000")
	}
	// Adopted, everything works as ever.
	r.recovered()
	load.served()
	r.kill()
	r.recovered()
	load.served()
	load.end()
}

// TestEngineAndServerKilledByTurns: whichever is killed, and whatever was before.
func TestEngineAndServerKilledByTurns(t *testing.T) {
	for name, o := range map[string]options{"listen": {}, "unmodified": unmodifiedOptions(7000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			server := binary(t, "counter")
			if name != "listen" {
				server = plainCounter(t)
			}
			r := prepare(t, o)
			o.flags = append(o.flags, "--log", "file://"+t.TempDir())
			r.spawn(o, server, "-listen", ":7000")
			load := r.load()
			random := rand.New(rand.NewPCG(7, 8))
			for i := range 30 {
				load.served()
				pause(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
				switch i % 3 {
				case 0:
					r.killAlone()
				case 1:
					r.kill()
					continue
				case 2:
					r.killBoth()
				}
				pause(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
				r.start(o, server, "-listen", ":7000")
			}
			r.recovered()
			load.served()
			load.end()
		})
	}
}

// TestServerDiesBeforeAdoption: the server process outlives its engine, but not until it
// has found the next one. Its connections are recovered.
func TestServerDiesBeforeAdoption(t *testing.T) {
	r := prepare(t, options{})
	o := options{flags: []string{"--log", "file://" + t.TempDir()}}
	r.spawn(o, "probe", "-listen", ":7002")
	c := r.dial()
	c.echo("hello")
	pid := r.killAlone()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	o.nowait = true
	r.start(o, "probe", "-listen", ":7002")
	r.waitOutput("the server process has outlived the engine before")
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.echo("recovered")
	r.recovered()
	r.crash()
	c.echo("again")
}

// TestOtherLog: an engine with another log cannot go on for the one before. The server
// process has to go.
func TestOtherLog(t *testing.T) {
	r := prepare(t, options{})
	r.spawn(options{flags: []string{"--log", "file://" + t.TempDir()}}, "probe", "-listen", ":7002")
	r.dial().echo("hello")
	r.killAlone()
	r.start(options{}, "probe", "-listen", ":7002")
	r.dial().echo("hello")
}

// load is what TestCounterSurvivesKills puts on a server.
type load struct {
	r      *rig
	cancel func()
	wg     sync.WaitGroup
	steady workload.Counter
	report *workload.Report
}

func (r *rig) load() *load {
	ctx, cancel := context.WithCancel(context.Background())
	f := families[0]
	l := &load{r: r, cancel: cancel, steady: workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}}
	l.wg.Go(func() { l.report = l.steady.Run(ctx) })
	r.t.Cleanup(cancel)
	return l
}

// served waits until every client has been served, at least once since the last
// kill: else the retransmission time-outs of some double with each of many kills in
// a row, to minutes, which docs/limits.md tells of and this test is not about.
func (l *load) served() {
	l.r.t.Helper()
	before := map[string]uint64{}
	for _, c := range l.r.recovered().Connections {
		before[c.Client] = c.BytesLogged
	}
	l.r.waitFor(time.Minute, "every client is served", func(d *status.Document) bool {
		served := 0
		for _, c := range d.Connections {
			if c.BytesLogged > before[c.Client] {
				served++
			}
		}
		return served >= l.steady.Conns
	})
}

func (l *load) end() {
	l.r.t.Helper()
	l.cancel()
	l.wg.Wait()
	if err := l.report.Err(); err != nil {
		l.r.t.Error(err)
	}
	l.r.t.Logf("%d connections, %d replies, longest pause %v", l.report.Conns, l.report.Lines, l.report.LongestPause)
}

// TestEngineDeadOpen: while no engine lives, connections go on without protection if
// that was chosen, also when there is one again; new ones are protected then.
func TestEngineDeadOpen(t *testing.T) {
	for name, o := range map[string]options{"listen": {}, "unmodified": unmodifiedOptions(7002)} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, o)
			args := []string{"-listen", ":7002"}
			if name != "listen" {
				args = append([]string{"-mode", "plain"}, args...)
			}
			o.flags = append(o.flags, "--log", "file://"+t.TempDir(), "--when-engine-dead", "open", "--engine-dead-after", "500ms")
			r.spawn(o, "probe", args...)
			c := r.dial()
			c.echo("protected")
			r.killAlone()
			for range 5 {
				c.echo("alone")
				pause(200 * time.Millisecond)
			}
			x := r.dial()
			x.echo("dialled without an engine")
			r.start(o, "probe", args...)
			r.recovered()
			c.echo("not protected any more")
			x.echo("never was")
			d := r.dial()
			d.echo("hello")
			r.crash()
			d.echo("protected")
		})
	}
}

// TestServeEngineKilled: services of both modes outlive their engine with what they
// print; the next one goes on with them.
func TestServeEngineKilled(t *testing.T) {
	log := "[log]\nurl = \"file://" + t.TempDir() + "\"\n"
	s := serve(t, nil, log, listening(t, "own", 7002), unmodified(t, "plain", 7003))
	own, plain := s.dialPort(7002), s.dialPort(7003)
	own.echo("hello")
	plain.echo("hello")
	for range 3 {
		pids := [2]int{s.pid("own"), s.pid("plain")}
		s.killServed()
		s.begin()
		own.echo("again")
		plain.echo("again")
		for i, name := range []string{"own", "plain"} {
			s.waitStatus(name+" is there again", func(d *status.Document) bool {
				for _, p := range d.Programs {
					if p.Name == name {
						return p.Ready && p.Process.PID == pids[i]
					}
				}
				return false
			})
		}
	}
	for _, name := range []string{"own", "plain"} {
		s.says(name+": restarted through recovery, 1 connection, ", "restart", name)
	}
	own.echo("at last")
	plain.echo("at last")
}

// TestDoctorEndsServers: server processes that have outlived an engine which does not
// come back are ended on demand, with all else that it has left.
func TestDoctorEndsServers(t *testing.T) {
	r := prepare(t, options{})
	o := options{flags: []string{"--log", "file://" + t.TempDir()}}
	r.spawn(o, "probe", "-listen", ":7002")
	r.dial().echo("hello")
	id := r.recovered().Engine.ID
	pidfd, err := unix.PidfdOpen(r.killAlone(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	r.doctor(r.runtime, "removed server process of service probe of engine "+id,
		"removed filters of engine "+id, "removed directory of engine "+id)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000); n != 1 || err != nil {
		t.Errorf("the server lives on: %v", err)
	}
	r.nothingLeft()
}

// killServed ends the daemon alone.
func (s *served) killServed() {
	s.t.Helper()
	pidfd, err := unix.PidfdOpen(s.cmd.Process.Pid, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000); n != 1 || err != nil {
		s.t.Fatalf("the engine lives on: %v", err)
	}
}
