package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestEngineKilledAlone: the engine is killed ten times under load; each time the next
// one goes on with the server process, which does not notice, and its connections.
func TestEngineKilledAlone(t *testing.T) {
	eachOver(t, counters(t), func(r *rig, m mode) {
		load := r.load(families[0], 5)
		first := r.recovered().Process.PID
		for range 10 {
			load.served()
			load.moment(100 * time.Millisecond)
			if server := r.killAlone(); server.pid != first {
				r.t.Errorf("the server is process %d, was %d", server.pid, first)
			}
			load.moment(300 * time.Millisecond)
			m.start(r)
		}
		// Adopted, everything works as ever.
		r.recovered()
		load.served()
		r.kill()
		r.recovered()
		load.served()
		load.end()
	})
}

// TestEngineAndServerKilled: engine and server die together, ten times under load.
// What the log has is enough for every connection to go on: every reply of each is
// right.
func TestEngineAndServerKilled(t *testing.T) {
	eachOver(t, counters(t), func(r *rig, m mode) {
		load := r.load(families[0], 3)
		for range 10 {
			load.served()
			load.moment(100 * time.Millisecond)
			r.killBoth()
			load.moment(300 * time.Millisecond)
			m.start(r)
		}
		load.served()
		load.end()
	})
}

// TestEngineAndServerKilledByTurns: whichever is killed, and whatever was before.
func TestEngineAndServerKilledByTurns(t *testing.T) {
	for _, m := range counters(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			r := prepare(t, options{})
			m := m.over(onDisk, r)
			m.spawn(r)
			load := r.load(families[0], 7)
			for i := range 30 {
				load.served()
				load.moment(50 * time.Millisecond)
				switch i % 3 {
				case 0:
					r.killAlone()
				case 1:
					r.kill()
					continue
				case 2:
					r.killBoth()
				}
				load.moment(100 * time.Millisecond)
				m.start(r)
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
	t.Parallel()
	r := prepare(t, options{})
	o := options{flags: onDevice(t)}
	r.spawn(o, "probe", "-listen", ":7002")
	c := r.dial()
	c.echo("hello")
	server := r.killAlone()
	server.signal(syscall.SIGSTOP)
	o.nowait = true
	r.start(o, "probe", "-listen", ":7002")
	r.waitOutput("the server process has outlived the engine before")
	server.signal(syscall.SIGKILL)
	c.echo("recovered")
	r.recovered()
	r.crash()
	c.echo("again")
}

// TestOtherLog: an engine with another log cannot go on for the one before. The server
// process has to go.
func TestOtherLog(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	r.spawn(options{flags: onDevice(t)}, "probe", "-listen", ":7002")
	r.dial().echo("hello")
	r.killAlone()
	r.start(options{}, "probe", "-listen", ":7002")
	r.dial().echo("hello")
}

// TestEngineDeadOpen: while no engine lives, connections go on without protection if
// that was chosen, also when there is one again; new ones are protected then.
func TestEngineDeadOpen(t *testing.T) {
	t.Parallel()
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			r := prepare(t, options{})
			open := m.over(onDisk, r).with("--when-engine-dead", "open")
			patient, m := open.with("--engine-dead-after", "1m"), open.with("--engine-dead-after", "500ms")
			m.spawn(r)
			c := r.dial()
			c.echo("protected")
			r.killAlone()
			for range 5 {
				c.echo("alone")
				pause(200 * time.Millisecond)
			}
			x := r.dial()
			x.echo("dialled without an engine")
			patient.start(r) // this one is not to be taken for dead on a busy machine
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
	t.Parallel()
	log := onDeviceTOML(t)
	s := serve(t, nil, log, listening(t, "own", 7002), unmodified(t, "plain", 7003))
	own, plain := s.dialPort(7002), s.dialPort(7003)
	own.echo("hello")
	plain.echo("hello")
	for range 3 {
		pids := [2]int{s.pid("own"), s.pid("plain")}
		s.killFtnet()
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
	t.Parallel()
	r := prepare(t, options{})
	o := options{flags: onDevice(t)}
	r.spawn(o, "probe", "-listen", ":7002")
	r.dial().echo("hello")
	id := r.recovered().Engine.ID
	server := r.killAlone()
	r.doctor(r.runtime, "removed server process of service probe of engine "+id,
		"removed filters of engine "+id, "removed directory of engine "+id)
	server.ends()
	r.nothingLeft()
}
