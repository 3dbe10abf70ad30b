package logd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// service is an example for a service.
func service(n int, name string) logserver.Meta {
	m := logtest.Example(n)
	m.Service = name
	return m
}

// TestIsolation: a certificate for one service can neither read nor write
// another one.
func TestIsolation(t *testing.T) {
	r := newRig(t, logd.Config{})
	xTLS, yTLS := r.tls("x", "x", "other"), r.tls("y", "y")
	y := r.client(yTLS)
	id, err := y.Open(service(1, "y"))
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("correct horse battery staple")
	if _, err := y.Write(id, 0, secret); err != nil {
		t.Fatal(err)
	}
	if err := y.WriteReads(id, 5); err != nil {
		t.Fatal(err)
	}
	soon(t, "y's data is stable", func() bool { _, end, _ := y.Length(id); return end == int64(len(secret)) })

	x := r.client(xTLS)
	if n := x.NumActive(); n != 0 {
		t.Errorf("x sees %d connections", n)
	}
	if list, err := x.Active(0, math.MaxInt); err != nil || len(list) != 0 {
		t.Errorf("x's Active is %v, %v", list, err)
	}
	for _, ep := range []logserver.Flow{service(1, "y").Flow} {
		if list, err := logserver.Lookup(x, ep.Client); err != nil || len(list) != 0 {
			t.Errorf("x's Lookup is %v, %v", list, err)
		}
	}
	if got := x.Expire(time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("x has expired %v", got)
	}
	own, err := x.Open(service(2, "y")) // the server says no, later
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "x's connection of y is refused", func() bool { _, err := x.Room(own); return errors.Is(err, logserver.ErrNoConn) })

	// What the client would not even try.
	p := r.dial(xTLS)
	p.greet(wire.Hello{})
	meta := service(1, "y")
	meta.ID = id
	for _, b := range [][]byte{
		wire.AppendOpen(nil, wire.TypeUpdate, 0, 1, &meta),
		append(wire.AppendDataHeader(nil, 0, id, int64(len(secret)), 4), "evil"...),
		wire.AppendReads(nil, 0, wire.Reads{ID: id, Runs: []logserver.ReadRun{{Length: 1, Count: 1}}}),
		wire.AppendFinish(nil, id, int64(len(secret))),
		wire.AppendRebase(nil, id, &logserver.Base{In: 5}),
	} {
		p.send(b)
		list, err := wire.ParseStates(p.until(wire.TypeStates), nil)
		if err != nil || len(list) != 1 || list[0] != (wire.State{ID: id, Flags: wire.StateGone}) {
			t.Errorf("answer to frame %#x: %v, %v", b[4], list, err)
		}
	}
	p.send(wire.AppendDelete(nil, id))
	for _, q := range []wire.Request{
		{Type: wire.TypeRead, ID: id, N: 100}, {Type: wire.TypeGetReads, ID: id}, {Type: wire.TypeGetMeta, ID: id},
	} {
		p.send(wire.AppendRequest(nil, q))
		if _, failure, err := wire.ParseFailure(p.until(wire.TypeFailure)); err != nil || !errors.Is(failure, logserver.ErrNoConn) {
			t.Errorf("answer to request %#x: %v, %v", q.Type, failure, err)
		}
	}
	meta.ID = 5<<32 | 1
	meta.Service = "x"
	p.send(wire.AppendOpen(nil, wire.TypeCreate, 0, 1, &meta))
	if _, failure, err := wire.ParseFailure(p.until(wire.TypeFailure)); err != nil || !errors.Is(failure, wire.ErrDenied) {
		t.Errorf("answer to a number of x's own: %v, %v", failure, err)
	}

	got := make([]byte, 100)
	n, err := y.Read(id, got, 0)
	if err != nil || !bytes.Equal(got[:n], secret) {
		t.Errorf("y reads %q, %v", got[:n], err)
	}
	if m, err := r.store.Meta(id); err != nil || m.Finished || m.Service != "y" {
		t.Errorf("the store has %+v, %v", m, err)
	}
	if runs, err := r.store.Reads(id); err != nil || len(runs) != 1 {
		t.Errorf("the store has reads %v, %v", runs, err)
	}

	// Nor may x claim y, or take y's session for its own.
	for _, h := range []wire.Hello{{Services: []string{"y"}}, {Services: []string{"x", "y"}}} {
		p := r.dial(xTLS)
		h.Min, h.Max = wire.Version, wire.Version
		p.send(wire.AppendHello(nil, h))
		if e, err := wire.ParseError(p.next()); err != nil || e.Code != wire.CodeDenied {
			t.Errorf("answer to a claim: %v, %v", e, err)
		}
	}
	yRaw := r.dial(yTLS)
	given := yRaw.greet(wire.Hello{}).Block
	if w := r.dial(xTLS).greet(wire.Hello{Blocks: []wire.Block{given}}); w.Resumed {
		t.Error("x goes on with y's session")
	}
	if w := r.dial(yTLS).greet(wire.Hello{Blocks: []wire.Block{given}}); !w.Resumed || w.Block != given {
		t.Error("y does not go on with its session")
	}
}

// TestStrangers: nobody gets in without a certificate of the authority, or with
// an old TLS.
func TestStrangers(t *testing.T) {
	r := newRig(t, logd.Config{})
	good := r.tls("good", "a")
	none := &tls.Config{InsecureSkipVerify: true}
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	elsewhere := &rig{TB: t, dir: t.TempDir()}
	var err error
	if elsewhere.auth, err = certs.Init(elsewhere.dir, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	foreign := elsewhere.tls("foreign", "a")
	foreign.VerifyConnection = nil
	for name, cfg := range map[string]*tls.Config{"none": none, "old": old, "foreign": foreign} {
		conn, err := tls.Dial("tcp", r.addr, cfg)
		if err == nil {
			// In TLS 1.3 a client learns only later that it was refused.
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = conn.Write(wire.AppendHello(nil, wire.Hello{Min: wire.Version, Max: wire.Version}))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Errorf("%s: is answered", name)
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			t.Errorf("%s: is kept", name)
		}
	}
	r.dial(good).greet(wire.Hello{})
}
