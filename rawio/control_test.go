package rawio

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// kills kills a server process.
func (r *rig) kills(p *rawiotest.Process) {
	r.t.Helper()
	r.act(func() {
		r.model.Task = gatetest.Task{Exiting: true, PID: 1, Code: int(syscall.SIGKILL)}
		p.Kill()
		r.model.Task = gatetest.Task{}
		r.kernel.listeners, r.kernel.queues = nil, nil
	})
	r.work()
}

// crash kills a server process, and tells the engine.
func (r *rig) crash(p *rawiotest.Process) {
	r.t.Helper()
	r.kills(p)
	r.Crash(rigPort)
}

// TestListeningOpensAgain: a connection outlives its server's process. The client learns nothing of
// the crash, and what it says meanwhile is stable; when a server listens the connection is
// opened in its stack, and the service counts as recovered.
func TestListeningOpensAgain(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	p, l := r.serve()
	client, _ := r.connect(l)
	r.says(client, []byte("before"))
	r.crash(p)
	if c := r.conn(); client.State() != rawiotest.Established || c == nil || c.State != south.Outage.String() {
		t.Fatalf("after the crash the client is in %v, and the engine has %+v", client.State(), c)
	}
	if r.state(rigPort) != gate.ServiceOutage {
		t.Errorf("the gate's service is in %v", r.state(rigPort))
	}
	r.says(client, []byte(", after"))
	if c := r.conn(); c.Stable != int64(len("before, after")) {
		t.Errorf("%d bytes are stable in the outage", c.Stable)
	}
	r.serve()
	if n := r.Listening(rigPort); n != 1 {
		t.Errorf("%d connections are recovered, want 1", n)
	}
	r.work()
	s := r.stack.Lookup(rigServer, rigClient)
	if s == nil || s.State() != rawiotest.Established || client.State() != rawiotest.Established {
		t.Errorf("the new process's socket is %v, the client in %v", s, client.State())
	}
	if c := r.conn(); c == nil || c.Recovered != 1 || r.state(rigPort) != gate.ServiceListen {
		t.Errorf("the engine has %+v, the gate's service is in %v", c, r.state(rigPort))
	}
	if len(r.told) == 0 || r.told[len(r.told)-1].Kind != ServiceRecovered {
		t.Errorf("told %+v", r.told)
	}
}

// TestListeningFindsTransparent: the gate learns which listeners take connections to addresses of
// other hosts, and keeps what it knows of a port without a listener, or if nobody can tell.
func TestListeningFindsTransparent(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	listener := sockdiag.Listener{Address: rigServer}
	transparent := listener
	transparent.Transparent = true
	for _, step := range []struct {
		name      string
		listeners []sockdiag.Listener
		fails     error
		want      bool
	}{
		{"an ordinary one", []sockdiag.Listener{listener}, nil, false},
		{"one of two", []sockdiag.Listener{transparent, listener}, nil, true},
		{"none", nil, nil, true},
		{"not listed", []sockdiag.Listener{listener}, errList, true},
		{"an ordinary one again", []sockdiag.Listener{listener}, nil, false},
	} {
		r.kernel.listeners, r.kernel.fails = step.listeners, step.fails
		if r.Listening(rigPort); r.model.transparent[rigPort] != step.want {
			t.Errorf("%s: transparent is %v", step.name, !step.want)
		}
	}
}

// TestSucceedRefusesNobody: when a process ends as it should its connections are let go, and the
// port is in an outage before a client can be refused.
func TestSucceedRefusesNobody(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	p, l := r.serve()
	client, _ := r.connect(l)
	r.Succeed(rigPort)
	if r.state(rigPort) != gate.ServiceOutage {
		t.Errorf("the gate's service is in %v", r.state(rigPort))
	}
	p.Kill()
	r.work()
	if client.State() == rawiotest.Established {
		t.Error("the client does not learn that the server has ended")
	}
	if n := r.Listening(rigPort); n != 0 {
		t.Errorf("%d connections are recovered", n)
	}
}

// TestCrashSweepsJournal: the records that a dead process has left are free again.
func TestCrashSweepsJournal(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	p, _ := r.serve()
	const slot = 7
	if err := r.journal.Publish(slot, 1, rigFlowKey); err != nil {
		t.Fatal(err)
	}
	if rec, ok := r.north.Lookup(rigFlowKey); !ok || !rec.Accept(policy.CompareStrict) {
		t.Fatal("the process does not get the record")
	}
	r.journal.Withdraw(slot) // while the process has it
	if r.journal.Usage().PutOff != 1 {
		t.Fatalf("before: %+v", r.journal.Usage())
	}
	r.crash(p)
	if r.journal.Usage().PutOff != 0 {
		t.Errorf("after the crash: %+v", r.journal.Usage())
	}
}

// TestAbort: one connection, or all of a port, are reset, and the report says why.
func TestAbort(t *testing.T) {
	for name, abort := range map[string]func(*rig){
		"one": func(r *rig) { r.Abort(rigFlow, "too bad") },
		"all": func(r *rig) { r.AbortAll(rigPort, "too bad") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.protects()
			_, l := r.serve()
			client, _ := r.connect(l)
			abort(r)
			r.work()
			if client.State() != rawiotest.Closed {
				t.Errorf("the client is in %v", client.State())
			}
			if !strings.Contains(r.said.String(), "reason=\"too bad\"") {
				t.Errorf("said %s", &r.said)
			}
			r.Abort(Flow{Client: rigServer, Server: rigClient}, "nobody's") // does nothing
		})
	}
}

// TestDrainWaits: Drain waits for sockets that have something to say, not for those in TIME_WAIT or
// listeners; its error is that of the context only as long as there are any.
func TestDrainWaits(t *testing.T) {
	for _, test := range []struct {
		name  string
		state sockdiag.State
		waits bool
	}{
		{"none", sockdiag.Listen, false},
		{"TIME_WAIT", sockdiag.TimeWait, false},
		{"FIN_WAIT1", sockdiag.FinWait1, true},
		{"ESTABLISHED", sockdiag.Established, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.protects()
				r.kernel.more = []sockdiag.Socket{{Flow: rigFlow, State: test.state}}
				const patience = 3 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				err := r.Drain(ctx, rigPort)
				if waited := time.Since(began) == patience; waited != test.waits || errors.Is(err, context.DeadlineExceeded) != test.waits {
					t.Errorf("it returned %v after %v", err, time.Since(began))
				}
				if err := r.Drain(t.Context(), rigPort+1); err != nil {
					t.Errorf("of another port: %v", err)
				}
				r.kernel.fails = errList
				if err := r.Drain(t.Context(), rigPort); !errors.Is(err, errList) {
					t.Errorf("not listed: %v", err)
				}
			})
		})
	}
}

// TestDrainGivesTimeForResets: a client whose RST may be lost has a second to ask for it again, and
// whoever cannot wait for that is not told of an error.
func TestDrainGivesTimeForResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		p, l := r.serve()
		r.connect(l)
		p.Kill()
		r.work()
		r.Crash(rigPort)
		r.AbortAll(rigPort, "its server is given up")
		if c := r.conn(); c == nil || c.State != south.Resetting.String() {
			t.Fatalf("the engine has %+v", c)
		}
		for _, s := range r.stack.Sockets() {
			_ = r.stack.Destroy(s.LocalAddr(), s.RemoteAddr())
		}
		for _, patience := range []time.Duration{resetGrace / 2, 2 * resetGrace} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			began := time.Now()
			if err := r.Drain(ctx, rigPort); err != nil {
				t.Errorf("with %v: %v", patience, err)
			}
			if d := time.Since(began); d != min(patience, resetGrace) {
				t.Errorf("with %v it waited %v", patience, d)
			}
			cancel()
		}
	})
}

// TestServes: a port is served while core or kernel has a connection of it, and while nobody can tell.
func TestServes(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	want := func(what string, serves bool) {
		t.Helper()
		if r.Serves(rigPort) != serves {
			t.Errorf("%s: serves is %v", what, !serves)
		}
	}
	want("nothing", false)
	r.kernel.more = []sockdiag.Socket{{Flow: rigFlow, State: sockdiag.FinWait2}}
	want("a socket", true)
	r.kernel.more, r.kernel.fails = nil, errList
	want("not listed", true)
	r.kernel.fails = nil
	p, l := r.serve()
	r.connect(l)
	r.crash(p)
	r.kernel.stack = rawiotest.NewStack(r.clock, rawiotest.Config{}) // which has no socket
	want("a connection in an outage", true)
	if r.Serves(rigPort + 1) {
		t.Error("another port is served")
	}
}

// TestSweepForgets: a connection whose socket went without a word is forgotten, not one that has its
// socket, and none while the kernel does not tell.
func TestSweepForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.sweep(0) // nothing to look at
		r.protects()
		_, l := r.serve()
		r.connect(l)
		for range 10 { // an engine that stands still does not take that for its connections' silence
			time.Sleep(idleTick)
			r.do(func(m *south.Machine) { m.Tick() })
		}
		want := func(what string, there bool) {
			t.Helper()
			r.sweep(time.Second)
			if c := r.conn(); (c != nil && c.State == south.Established.String()) != there {
				t.Errorf("%s: the engine has %+v", what, c)
			}
		}
		want("its socket is there", true)
		r.kernel.stack = rawiotest.NewStack(r.clock, rawiotest.Config{})
		r.kernel.fails = errList
		want("not listed", true)
		r.kernel.fails = nil
		want("its socket has gone", false)
	})
}

// TestProtectRefuses: what cannot be protected is refused with the port's number, and then nothing
// of it has begun.
func TestProtectRefuses(t *testing.T) {
	j := new(journal.Journal)
	for _, test := range []struct {
		name    string
		service Service
		want    string
	}{
		{"no port", Service{Journal: j}, "no port"},
		{"neither", Service{Port: 80}, "a service has a journal, or its server is unmodified"},
		{"both", Service{Port: 80, Journal: j, Unmodified: true}, "a service has a journal, or its server is unmodified"},
		{"no buffer", Service{Port: 80, Unmodified: true}, "without an OutputBuffer"},
		{"idle", Service{Port: 80, Journal: j, LogPolicy: policy.LogSinceIdle}, "idle is not positive"},
		{"down", Service{Port: 80, Journal: j, DownAfter: -1}, "is below 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			err := r.Protect(test.service)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "rawio: protect port ") {
				t.Errorf("error is %v", err)
			}
			if len(r.ports) != 0 || len(r.model.services) != 0 || len(r.machine.Ports()) != 0 {
				t.Error("something is protected")
			}
		})
	}
}

// TestProtectWatchesReleases: for an unmodified server, and for no other one, the gate watches
// releases; if it cannot the server is not protected.
func TestProtectWatchesReleases(t *testing.T) {
	r := newRig(t, nil)
	r.cfg.OutputBuffer = DefaultOutputBuffer
	r.model.watches = gate.ErrNotSupported
	unmodified := Service{Port: 80, Unmodified: true}
	if err := r.Protect(unmodified); !errors.Is(err, gate.ErrNotSupported) || r.machine.Protects(80) {
		t.Errorf("error is %v", err)
	}
	r.model.watches = nil
	if r.protects(); r.model.watched {
		t.Error("releases are watched for a server with a journal")
	}
	if err := r.Protect(unmodified); err != nil || !r.model.watched {
		t.Errorf("error is %v, watched %v", err, r.model.watched)
	}
}

// TestProtectAgain: how a port is protected may change, its journal not.
func TestProtectAgain(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	other := Service{Port: rigPort, Name: "other", Journal: new(journal.Journal)}
	if err := r.Protect(other); err == nil || r.ports[rigPort].Name != "rig" {
		t.Errorf("another journal: %v, the service is %v", err, r.ports[rigPort].Name)
	}
	other.Journal = r.journal
	if err := r.Protect(other); err != nil || r.ports[rigPort].Name != "other" {
		t.Errorf("another name: %v, the service is %v", err, r.ports[rigPort].Name)
	}
}

// TestProtectNeedsTheLog: what the log does not register is not protected.
func TestProtectNeedsTheLog(t *testing.T) {
	r := newRig(t, nil)
	_ = r.cfg.Log.Close()
	if err := r.Protect(Service{Port: rigPort, Journal: r.journal}); !errors.Is(err, logserver.ErrClosed) || len(r.ports) > 0 {
		t.Errorf("error is %v, ports %v", err, r.ports)
	}
}

// TestUnprotectForgets: an unprotected port is nobody's: neither the gate nor what looks at links,
// handshakes and unseen connections knows it.
func TestUnprotectForgets(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	_, l := r.serve()
	r.connect(l)
	r.unseen.declared(rigFlow, "a test")
	r.trials.noteClient(rigFlow, rigLink)
	if len(r.links.sightings.services()) != 1 {
		t.Fatalf("links know %v", r.links.sightings.services())
	}
	if err := r.Unprotect(rigPort); err != nil {
		t.Fatal(err)
	}
	_, there := r.model.services[rigPort]
	if there || r.conn() != nil || len(r.ports) > 0 || len(r.links.sightings.services()) > 0 || len(r.unseen.known) > 0 || len(r.trials.all) > 0 {
		t.Errorf("the gate has it: %v; ports %v, links %v, unseen %v, trials %v", there, r.ports, r.links.sightings.services(), r.unseen.known, r.trials.all)
	}
	if r.model.Bound(rigFlow) {
		t.Error("the gate has the connection")
	}
}
