package rawio

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// lastingLog is a log in memory that outlives its engine, and can be out of reach.
type lastingLog struct {
	logserver.Log
	asked chan struct{} // has a token for each Active that found it out of reach
	away  bool
}

func newLastingLog(t *testing.T) *lastingLog {
	t.Helper()
	m, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &lastingLog{Log: m, asked: make(chan struct{}, 1)}
}

func (l *lastingLog) Active(first, n int) ([]logserver.Meta, error) {
	if !l.away {
		return l.Log.Active(first, n)
	}
	select {
	case l.asked <- struct{}{}:
	default:
	}
	return nil, logserver.ErrUnreachable
}

// left is a rig whose engine has died, with a connection that has sent "before".
type left struct {
	*rig
	log    *lastingLog
	client *rawiotest.Socket
	heir   Heir
	taken  []uint16 // ports that TakeOver had protected
}

// newLeft has the engine die alone, or else the server and the gate with it.
func newLeft(t *testing.T, alone bool) *left {
	t.Helper()
	l := &left{log: newLastingLog(t), heir: Heir{Service: "rig", Ports: []uint16{rigPort}, Adopt: alone}}
	l.rig = newRig(t, l.log)
	l.protects()
	p, listener := l.serve()
	l.client, _ = l.connect(listener)
	l.says(l.client, []byte("before"))
	l.heir.Journal = l.journal
	if alone {
		return l
	}
	l.model = newModelGate() // which holds nothing of the process's end
	l.model.services[rigPort] = gate.ServiceHold
	_ = l.model.Model.SetService(rigPort, gate.ServiceHold, false)
	p.Kill()
	l.model.pending() // nobody reads what it reports
	l.model.events = nil
	_ = l.model.DeleteService(rigPort)
	l.kernel.listeners, l.kernel.queues = nil, nil
	j, err := journal.Create(8, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	l.journal, l.heir.Journal = j, j
	return l
}

// takesOver has the next engine take over what the service is heir to.
func (l *left) takesOver() error {
	return l.TakeOver(l.t.Context(), l.heir, func(port uint16) error {
		l.taken = append(l.taken, port)
		return l.Protect(Service{Port: port, Name: "rig", Journal: l.journal, Adopt: l.heir.Adopt})
	})
}

// TestTakeOverRestores: with the server dead, too, the port is held from Open on, and in an
// outage when its connections are taken from the log; they are opened again for the next
// server.
func TestTakeOverRestores(t *testing.T) {
	l := newLeft(t, false)
	l.opens(Config{Log: l.log, Heirs: []Heir{l.heir}})
	if l.state(rigPort) != gate.ServiceHold {
		t.Fatalf("before anything is known the gate's service is in %v", l.state(rigPort))
	}
	l.says(l.client, []byte(", between"))
	if err := l.takesOver(); err != nil {
		t.Fatal(err)
	}
	if c := l.conn(); !slices.Equal(l.taken, []uint16{rigPort}) || c == nil || c.State != south.Outage.String() || l.state(rigPort) != gate.ServiceOutage {
		t.Fatalf("taken over: %v, %+v, the gate's service is in %v", l.taken, c, l.state(rigPort))
	}
	l.do(func(m *south.Machine) { m.Tick() }) // asks the client
	l.work()
	l.serve()
	if n := l.Listening(rigPort); n != 1 {
		t.Errorf("%d connections are recovered, want 1", n)
	}
	l.work()
	if c := l.conn(); c == nil || c.Recovered != 1 || l.client.State() != rawiotest.Established || l.state(rigPort) != gate.ServiceListen {
		t.Errorf("the engine has %+v, the client is in %v, the gate's service in %v", c, l.client.State(), l.state(rigPort))
	}
	if !strings.Contains(l.said.String(), "connections from before are in the log: port=7000 connections=1") {
		t.Errorf("said %s", &l.said)
	}
}

// TestTakeOverAdopts: a server that lives goes on with its connections as if nothing had been,
// once it has handed its journal back, and what that has of none is withdrawn. Its port is
// never held.
func TestTakeOverAdopts(t *testing.T) {
	l := newLeft(t, true)
	if err := l.journal.Publish(5, 1, journal.Flow{Client: rigServer, Server: rigClient}); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Adopt(l.journal.Fd(), 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	l.journal = j
	unreturned := l.heir
	unreturned.Journal = nil
	l.opens(Config{Log: l.log, Adopt: true, Heirs: []Heir{unreturned}})
	if l.state(rigPort) != gate.ServiceListen {
		t.Errorf("at the start the gate's service is in %v", l.state(rigPort))
	}
	l.heir = unreturned
	if err := l.takesOver(); err != nil || len(l.taken) > 0 {
		t.Fatalf("without the journal: %v taken, %v", l.taken, err)
	}
	l.heir.Journal = j
	if err := l.takesOver(); err != nil {
		t.Fatal(err)
	}
	if c := l.conn(); !slices.Equal(l.taken, []uint16{rigPort}) || c == nil || c.State != south.Established.String() || l.state(rigPort) != gate.ServiceListen {
		t.Fatalf("taken over: %v, %+v, the gate's service is in %v", l.taken, c, l.state(rigPort))
	}
	if got := j.Slots(); len(got) != 1 || got[0] == 5 {
		t.Errorf("the journal has slots %v", got)
	}
	l.says(l.client, []byte(", after"))
	if c := l.conn(); c.Stable != int64(len("before, after")) {
		t.Errorf("%d bytes are stable", c.Stable)
	}
	if err := l.takesOver(); err != nil || len(l.taken) != 1 { // nothing is left
		t.Errorf("again: %v, %v", l.taken, err)
	}
	if !strings.Contains(l.said.String(), "connections have outlived the engine before: port=7000 connections=1") {
		t.Errorf("said %s", &l.said)
	}
}

// TestTakeOverWaits: while the log is out of reach the ports of all heirs stay held, whichever
// is waited for, also when the wait is given up. When it answers, those without connections pass.
func TestTakeOverWaits(t *testing.T) {
	l := newLeft(t, false)
	other := Heir{Service: "other", Ports: []uint16{rigPort + 1}, Unmodified: true}
	l.log.away = true
	l.opens(Config{Log: l.log, Heirs: []Heir{l.heir, other}})
	held := func(when string) {
		t.Helper()
		if l.state(rigPort) != gate.ServiceHold || l.state(rigPort+1) != gate.ServiceHold {
			t.Errorf("%s the gate has %v", when, l.model.services)
		}
	}
	held("at the start")
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-l.log.asked
		giveUp()
	}()
	protect := func(uint16) error { t.Error("a port of an unknown service"); return nil }
	if err := l.TakeOver(ctx, l.heir, protect); !errors.Is(err, context.Canceled) || !errors.Is(err, logserver.ErrUnreachable) {
		t.Errorf("given up: %v", err)
	}
	held("when the wait is given up")
	l.log.away = false
	if err := l.TakeOver(t.Context(), other, protect); err != nil {
		t.Error(err)
	}
	if _, is := l.model.services[rigPort+1]; is || l.state(rigPort) != gate.ServiceHold {
		t.Errorf("with the log there the gate has %v", l.model.services)
	}
	if err := l.takesOver(); err != nil || l.state(rigPort) != gate.ServiceOutage {
		t.Errorf("%v, the gate has %v", err, l.model.services)
	}
}

// TestTakeOverEndsWithEngine: nobody waits for a log when the engine is closed.
func TestTakeOverEndsWithEngine(t *testing.T) {
	l := newLeft(t, false)
	l.log.away = true
	l.opens(Config{Log: l.log})
	go func() {
		<-l.log.asked
		_ = l.Close()
	}()
	if err := l.takesOver(); !errors.Is(err, logserver.ErrUnreachable) {
		t.Error(err)
	}
}

// TestTakeOverFails: a port that cannot be protected is not held for good.
func TestTakeOverFails(t *testing.T) {
	l := newLeft(t, false)
	l.opens(Config{Log: l.log})
	taken := errors.New("the port is another's")
	err := l.TakeOver(t.Context(), l.heir, func(port uint16) error {
		if l.state(port) != gate.ServiceHold {
			t.Errorf("before Protect the gate's service is in %v", l.state(port))
		}
		return taken
	})
	if _, is := l.model.services[rigPort]; !errors.Is(err, taken) || is {
		t.Errorf("%v, the gate has %v", err, l.model.services)
	}
}

// TestTakeOverOtherPort: connections at a port that the service does not have any more stay in
// the log; one that may listen where it likes gets them.
func TestTakeOverOtherPort(t *testing.T) {
	l := newLeft(t, false)
	l.opens(Config{Log: l.log})
	l.heir.Ports = []uint16{rigPort + 1}
	if err := l.takesOver(); err != nil || len(l.taken) > 0 || l.log.NumActive() != 1 || len(l.model.services) > 0 {
		t.Errorf("%v, %v is taken, %d in the log, the gate has %v", err, l.taken, l.log.NumActive(), l.model.services)
	}
	if !strings.Contains(l.said.String(), "the service does not listen on their port: service=rig port=7000 connections=1") {
		t.Errorf("said %s", &l.said)
	}
	l.heir.Ports = nil
	if err := l.takesOver(); err != nil || !slices.Equal(l.taken, []uint16{rigPort}) {
		t.Errorf("%v, %v is taken", err, l.taken)
	}
}

// TestTakeOverForgets: as configured, connections are deleted from the log, and their sockets
// removed; no port is held, for the kernel is to answer.
func TestTakeOverForgets(t *testing.T) {
	l := newLeft(t, false)
	l.opens(Config{Log: l.log, Forget: true, Heirs: []Heir{l.heir}})
	if len(l.model.services) > 0 {
		t.Errorf("the gate has %v", l.model.services)
	}
	if err := l.takesOver(); err != nil || len(l.taken) > 0 || l.log.NumActive() != 0 {
		t.Errorf("%v, %v is taken, %d in the log", err, l.taken, l.log.NumActive())
	}
	if !slices.Equal(l.kernel.destroyed, []Flow{rigFlow}) {
		t.Errorf("destroyed %v", l.kernel.destroyed)
	}
	if !strings.Contains(l.said.String(), "deleted from the log: service=rig connections=1") {
		t.Errorf("said %s", &l.said)
	}
}

// TestNothingToTakeOver: of an engine whose log does not last nothing is left, and nothing held.
func TestNothingToTakeOver(t *testing.T) {
	r := newRig(t, nil)
	heir := Heir{Service: "rig", Ports: []uint16{rigPort}}
	r.opens(Config{Log: r.cfg.Log, Heirs: []Heir{heir}})
	err := r.TakeOver(t.Context(), heir, func(uint16) error { t.Error("a port"); return nil })
	if err != nil || len(r.model.services) > 0 {
		t.Errorf("%v, the gate has %v", err, r.model.services)
	}
}

// TestReleaseUnclaimed: what the adopted gate has of a port that no service has any more is
// removed, with its sockets; so is the hold of an heir that did not come. A port that is
// protected, or that a service has, stays.
func TestReleaseUnclaimed(t *testing.T) {
	l := newLeft(t, true)
	absent := Heir{Service: "absent", Ports: []uint16{rigPort + 1, rigPort + 2}}
	l.opens(Config{Log: l.log, Adopt: true, Heirs: []Heir{absent}})
	l.heir.Service, l.heir.Ports = "other", []uint16{rigPort + 3}
	if err := l.Protect(Service{Port: rigPort + 3, Name: "other", Journal: l.journal}); err != nil {
		t.Fatal(err)
	}
	err := l.ReleaseUnclaimed(func(port uint16) bool { return port == rigPort+2 })
	if err != nil {
		t.Error(err)
	}
	if len(l.model.services) != 2 || l.state(rigPort+2) != gate.ServiceHold || l.state(rigPort+3) != gate.ServiceListen || l.model.Bound(rigFlow) {
		t.Errorf("the gate has %v, and the flow: %v", l.model.services, l.model.Bound(rigFlow))
	}
	if !slices.Equal(l.kernel.destroyed, []Flow{rigFlow}) {
		t.Errorf("destroyed %v", l.kernel.destroyed)
	}
	if err := l.ReleaseUnclaimed(func(uint16) bool { return false }); err != nil || len(l.model.services) != 1 {
		t.Errorf("later: %v, the gate has %v", err, l.model.services)
	}
}
