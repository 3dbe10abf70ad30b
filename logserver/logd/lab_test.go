package logd_test

import (
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/internal/wire"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what must come.
const patience = 20 * time.Second

func soon(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// rig is a server in front of a memory log.
type rig struct {
	testing.TB
	store *memory.Log
	srv   *logd.Server
	addr  string
	dir   string // of certificates
	auth  *certs.Authority
}

// newRig starts a server. It has TLS unless cfg says that it is to be insecure.
func newRig(t testing.TB, cfg logd.Config) *rig {
	t.Helper()
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, store: store, dir: t.TempDir()}
	cfg.Store = store
	if !cfg.Insecure {
		if r.auth, err = certs.Init(r.dir, certs.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err = r.auth.Server([]string{"localhost"}, certs.Options{}); err != nil {
			t.Fatal(err)
		}
		if cfg.TLS, err = certs.ServerTLS(r.files("server")); err != nil {
			t.Fatal(err)
		}
	}
	if r.srv, err = logd.NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(l) }()
	t.Cleanup(func() {
		_ = r.srv.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		_ = store.Close()
	})
	return r
}

func (r *rig) files(name string) certs.Files {
	return certs.Files{Authority: filepath.Join(r.dir, "ca.pem"), Cert: filepath.Join(r.dir, name+".pem"), Key: filepath.Join(r.dir, name+".key")}
}

// tls returns the settings of a client that may use these services.
func (r *rig) tls(name string, services ...string) *tls.Config {
	r.Helper()
	if _, err := r.auth.Client(services, certs.Options{Name: name}); err != nil {
		r.Fatal(err)
	}
	cfg, err := certs.ClientTLS(r.files(name), "localhost")
	if err != nil {
		r.Fatal(err)
	}
	return cfg
}

// client returns a log that has reached the server. cfg may be nil.
func (r *rig) client(cfg *tls.Config, services ...string) *remote.Log {
	r.Helper()
	l, err := remote.Dial(remote.Config{Address: r.addr, TLS: cfg, Insecure: cfg == nil, Services: services})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = l.Close() })
	ctx, cancel := deadline()
	defer cancel()
	if err := l.Wait(ctx); err != nil {
		r.Fatal(err)
	}
	if err := l.RegisterService(0); err != nil {
		r.Fatal(err)
	}
	return l
}

// raw is a peer that says what a test wants.
type raw struct {
	*rig
	conn net.Conn
	in   *wire.Reader
}

func (r *rig) dial(cfg *tls.Config) *raw {
	r.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	if cfg != nil {
		secured := tls.Client(conn, cfg)
		if err := secured.Handshake(); err != nil {
			r.Fatal(err)
		}
		conn = secured
	}
	p := &raw{rig: r, conn: conn, in: wire.NewReader(conn)}
	p.in.Grow(0)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return p
}

// greet says hello and waits until the server is ready.
func (p *raw) greet(h wire.Hello) wire.Welcome {
	p.Helper()
	h.Min, h.Max = wire.Version, wire.Version
	p.send(wire.AppendHello(nil, h))
	w, err := wire.ParseWelcome(p.next())
	if err != nil {
		p.Fatal(err)
	}
	p.until(wire.TypeReady)
	return w
}

func (p *raw) send(b []byte) {
	p.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.Fatal(err)
	}
}

func (p *raw) next() wire.Frame {
	p.Helper()
	f, err := p.in.Next()
	if err != nil {
		p.Fatal(err)
	}
	return f
}

// until returns the next frame of a type.
func (p *raw) until(t wire.Type) wire.Frame {
	p.Helper()
	for {
		if f := p.next(); f.Type == t {
			return f
		}
	}
}

// ended checks that the server ends the connection.
func (p *raw) ended() {
	p.Helper()
	for {
		if _, err := p.in.Next(); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				p.Fatal("the connection is still there")
			}
			return
		}
	}
}
