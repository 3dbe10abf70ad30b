package rawio

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestControlOfNobodysPort: what is said of a port that is not protected changes nothing.
func TestControlOfNobodysPort(t *testing.T) {
	r := newRig(t, nil)
	r.serve()
	if n := r.Listening(rigPort); n != 0 {
		t.Errorf("%d connections are recovered", n)
	}
	r.Crash(rigPort)
	r.Succeed(rigPort, 0)
	r.Release(rigPort)
	r.AbortAll(rigPort, "why")
	if err := r.Unprotect(rigPort); err != nil {
		t.Error(err)
	}
	if len(r.model.services) > 0 || len(r.machine.Ports()) > 0 || len(r.told) > 0 {
		t.Errorf("the gate has %v, the core %v; told %v", r.model.services, r.machine.Ports(), r.told)
	}
}

// TestControlOrder: whatever order the witnesses of a process's life and death come in, and however
// often, the client's connection is recovered with the process that lives.
func TestControlOrder(t *testing.T) {
	crash := func(r *rig) { r.Crash(rigPort) }
	listening := func(r *rig) { r.Listening(rigPort) }
	starts := func(r *rig) { r.serve() }
	for _, test := range []struct {
		name  string
		steps []func(r *rig)
	}{
		{"as it should be", []func(*rig){crash, starts, listening}},
		{"told twice", []func(*rig){crash, crash, starts, listening, listening}},
		{"a dead process says that it listens", []func(*rig){crash, listening, starts, listening}},
		{"and dies again", []func(*rig){crash, listening, crash, starts, listening}},
		{"it listens before the death is known", []func(*rig){starts, listening, crash, listening}},
		{"the next one dies, too", []func(*rig){crash, starts, listening, func(r *rig) { r.kills(r.next) }, crash, starts, listening}},
		{"it is protected anew", []func(*rig){crash, (*rig).protects, starts, listening}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.protects()
				p, l := r.serve()
				r.goes(r.receiveLoop)
				r.ticking()
				client, _ := r.connect(l)
				r.says(client, []byte("hello"))
				r.kills(p)
				for _, step := range test.steps {
					step(r)
					r.work()
				}
				r.pass(10 * time.Second)
				s, c := r.stack.Lookup(rigServer, rigClient), r.conn()
				if c == nil || c.State != south.Established.String() || c.Recovered == 0 || client.State() != rawiotest.Established ||
					s == nil || s.State() != rawiotest.Established || r.state(rigPort) != gate.ServiceListen {
					t.Errorf("the engine has %+v, the client is in %v, the server's socket is %v, the gate's service in %v",
						c, client.State(), s, r.state(rigPort))
				}
			})
		})
	}
}

// TestReleaseEndsRecovery: what is released is not opened again, and the client learns it from the
// server that comes next.
func TestReleaseEndsRecovery(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	p, l := r.serve()
	client, _ := r.connect(l)
	r.crash(p)
	r.Release(rigPort)
	r.serve()
	if n := r.Listening(rigPort); n != 0 {
		t.Errorf("%d connections are recovered", n)
	}
	r.work()
	if client.State() == rawiotest.Established {
		t.Errorf("the client is in %v, the engine has %+v", client.State(), r.conn())
	}
}

// TestUnprotectDuringRecovery: a port that is given up while its connections are being opened again
// leaves nothing at the gate, whatever the server's stack says then.
func TestUnprotectDuringRecovery(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	p, l := r.serve()
	r.connect(l)
	r.crash(p)
	r.serve()
	if n := r.Listening(rigPort); n != 1 { // the SYN-ACK is still to be looked at
		t.Fatalf("%d connections are recovered", n)
	}
	if err := r.Unprotect(rigPort); err != nil {
		t.Fatal(err)
	}
	r.work()
	if r.conn() != nil || r.model.Bound(rigFlow) || len(r.model.services) > 0 {
		t.Errorf("the engine has %+v; bound: %v; the gate has %v", r.conn(), r.model.Bound(rigFlow), r.model.services)
	}
	if err := r.Unprotect(rigPort); err != nil {
		t.Error(err)
	}
}

// TestProtectRefusedByGate: a port that the gate does not hold is not protected, and what the
// predecessor has left there is still there for the next attempt.
func TestProtectRefusedByGate(t *testing.T) {
	l := newLeft(t, false)
	l.opens(Config{Log: l.log, Heirs: []Heir{l.heir}})
	protect := func(port uint16) error {
		l.model.refuses = errBroken
		defer func() { l.model.refuses = nil }()
		return l.Protect(Service{Port: port, Name: "rig", Journal: l.journal})
	}
	if err := l.TakeOver(t.Context(), l.heir, protect); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
	if len(l.ports) > 0 || len(l.links.sightings.services()) > 0 || l.conn() != nil || len(l.model.services) > 0 {
		t.Errorf("protected: %v; proved: %v; the engine has %+v, the gate %v", l.ports, l.links.sightings.services(), l.conn(), l.model.services)
	}
	if err := l.takesOver(); err != nil {
		t.Error(err)
	}
	if c := l.conn(); c == nil || c.State != south.Outage.String() || l.state(rigPort) != gate.ServiceOutage {
		t.Errorf("the engine has %+v, the gate's service is in %v", c, l.state(rigPort))
	}
}

// TestEndingIsNotMeant: a FIN that nobody has announced, and that the kernel repeats, is the
// application's after a while; not while the process is ending by its service's word.
func TestEndingIsNotMeant(t *testing.T) {
	for name, ending := range map[string]bool{"it lives": false, "it is ending": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				asked := 0
				s := Service{Port: rigPort, Name: "rig", Journal: r.journal, Ending: func() bool { asked++; return ending }}
				if err := r.Protect(s); err != nil {
					t.Fatal(err)
				}
				_, l := r.serve()
				r.goes(r.receiveLoop)
				r.ticking()
				client, server := r.connect(l)
				r.act(server.Close)
				r.work()
				if client.State() != rawiotest.Established || asked > 0 {
					t.Errorf("at once the client is in %v; asked %d times", client.State(), asked)
				}
				r.pass(3 * time.Second)
				if closed := client.State() != rawiotest.Established; closed == ending || asked == 0 {
					t.Errorf("the client is in %v; asked %d times", client.State(), asked)
				}
			})
		})
	}
}

// TestVainSYNsAreReported: when spoofed SYNs are not answered although a server listens, that is
// reported once, and the entrances are tried anew.
func TestVainSYNsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protects()
		p, l := r.serve()
		r.goes(r.receiveLoop)
		r.ticking()
		r.connect(l)
		r.dialsFrom(netip.AddrPortFrom(rigClient.Addr(), 40001))
		r.work()
		r.crash(p)
		r.drop = func(*segment.Segment, int) bool { return true }
		r.serve()
		if n := r.Listening(rigPort); n != 2 {
			t.Fatalf("%d connections are recovered", n)
		}
		r.trials.all[rigEntrance] = &trial{due: time.Now().Add(time.Hour)}
		r.pass(30 * time.Second)
		r.wantSaid("no SYN-ACK for spoofed handshakes", 1)
		if v := r.trials.all[rigEntrance]; !v.due.IsZero() {
			t.Errorf("the next trial is due at %v", v.due)
		}
	})
}
