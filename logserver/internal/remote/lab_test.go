package remote_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
	"github.com/ftnet/ftnet/logserver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a log server that tests can kill and start again, and what its clients
// need.
type lab struct {
	testing.TB
	store  logserver.Log
	server logd.Config
	client remote.Config

	mu   sync.Mutex // guards what follows
	addr string
	srv  *logd.Server
}

func newMemory(t testing.TB, limits logtest.Limits) *memory.Log {
	t.Helper()
	m, err := memory.New(&memory.Config{
		QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newLab starts a server without TLS in front of a memory log.
func newLab(t testing.TB, limits logtest.Limits) *lab {
	t.Helper()
	return startLab(t, &lab{TB: t, store: newMemory(t, limits), server: logd.Config{Insecure: true}, client: remote.Config{Insecure: true}})
}

func startLab(t testing.TB, b *lab) *lab {
	t.Helper()
	b.server.Store = b.store
	b.client.MinBackoff, b.client.MaxBackoff = time.Millisecond, 20*time.Millisecond
	b.client.Dial = b.dial
	b.start()
	t.Cleanup(func() {
		b.stop()
		_ = b.store.Close()
	})
	return b
}

func (b *lab) dial(ctx context.Context) (net.Conn, error) {
	b.mu.Lock()
	addr := b.addr
	b.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (b *lab) start() {
	b.Helper()
	srv, err := logd.NewServer(b.server)
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	b.addr, b.srv = l.Addr().String(), srv
	b.mu.Unlock()
	go srv.Serve(l)
}

func (b *lab) stop() {
	b.mu.Lock()
	srv := b.srv
	b.srv = nil
	b.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

// open returns a log that has reached the server.
func (b *lab) open() *remote.Log { return b.openWith(b.client) }

func (b *lab) openWith(cfg remote.Config) *remote.Log {
	b.Helper()
	l, err := remote.Dial(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Wait(ctx); err != nil {
		b.Fatal(err)
	}
	return l
}

// authority makes certificates in a directory of the test's.
func authority(t testing.TB) (*certs.Authority, string) {
	t.Helper()
	dir := t.TempDir()
	a, err := certs.Init(dir, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Server([]string{"localhost", "127.0.0.1"}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func files(dir, name string) certs.Files {
	return certs.Files{Authority: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
}

// newSecureLab is newLab with TLS, for a client that may write all services.
func newSecureLab(t testing.TB, limits logtest.Limits) *lab {
	t.Helper()
	a, dir := authority(t)
	if _, err := a.Client([]string{certs.AnyService}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	serverTLS, err := certs.ServerTLS(files(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	clientTLS, err := certs.ClientTLS(files(dir, "client"), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return startLab(t, &lab{
		TB: t, store: newMemory(t, limits),
		server: logd.Config{TLS: serverTLS}, client: remote.Config{TLS: clientTLS},
	})
}
