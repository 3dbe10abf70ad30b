package logdaemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/recovery/config"
)

// fake accepts engines and says nothing.
type fake struct {
	d    *daemon
	once sync.Once
	done chan struct{}
	fail error // of Serve
}

func (f *fake) Serve(l net.Listener) error {
	if f.fail != nil {
		return f.fail
	}
	<-f.done
	return net.ErrClosed
}

func (f *fake) Close() error {
	f.once.Do(func() { close(f.done) })
	if f.d.store.Status()&logserver.Failed != 0 {
		return errors.New("the store was closed first")
	}
	return nil
}

func (f *fake) expire(after time.Duration) int { return len(f.d.store.Expire(time.Now().Add(-after))) }

func (f *fake) sessions() ([]status.LogSession, counters) {
	return []status.LogSession{{Peer: "192.0.2.9:1", Services: []string{"web"}}}, counters{accepted: 3, refused: 2}
}

// text is what was logged.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// rig is a log server with a fake instead of the protocol.
type rig struct {
	t       *testing.T
	cfg     *config.Logd
	out     text
	fake    *fake
	opened  func(logserver.Log) // the store is open, and nobody is served yet
	signals chan os.Signal
	result  chan error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	a, err := certs.Init(filepath.Join(dir, "tls"), certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Server([]string{"127.0.0.1"}, certs.Options{Valid: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	return &rig{
		t: t, signals: make(chan os.Signal, 1), result: make(chan error, 1), fake: &fake{done: make(chan struct{})},
		cfg: &config.Logd{
			Listen: []string{"127.0.0.1:0"}, Store: "memory:", QuotaTotal: 1 << 20, MaxSessions: 8, RuntimeDir: filepath.Join(dir, "run"),
			TLS: certs.Files{Authority: a.Dir + "/ca.pem", Cert: a.Dir + "/server.pem", Key: a.Dir + "/server.key"},
		},
	}
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	log := hclog.New(&hclog.LoggerOptions{Output: &r.out})
	go func() {
		r.result <- run(ctx, Options{Config: r.cfg, Signals: r.signals, Logger: log}, func(d *daemon) (server, error) {
			r.fake.d = d
			if r.opened != nil {
				r.opened(d.store)
			}
			return r.fake, nil
		})
	}()
}

// page waits for the status page.
func (r *rig) page() *status.Document {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		list, _ := runtimedir.List(r.cfg.RuntimeDir)
		if len(list) == 0 {
			continue
		}
		doc, err := status.Fetch(r.t.Context(), filepath.Join(list[0].Path, runtimedir.StatusSocket))
		if err == nil {
			return doc
		}
	}
	r.t.Fatalf("there is no status page\n%s", r.out.String())
	return nil
}

func (r *rig) end() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatalf("it does not end\n%s", r.out.String())
		return nil
	}
}

func TestDaemon(t *testing.T) {
	r := newRig(t)
	r.start()
	doc := r.page()
	l := doc.LogServer
	if l == nil || len(l.Sessions) != 1 || l.Accepted != 3 || l.Store.Backend != "memory" || l.Store.Status != "ok" ||
		l.Store.QuotaTotal != 1<<20 || len(l.Listen) != 1 || time.Until(l.Certificate) < time.Hour || doc.Engine.Name != "logd" || doc.Memory.Resident == 0 {
		t.Errorf("%+v\n%+v", doc, l)
	}
	if c, err := net.Dial("tcp", l.Listen[0]); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	r.signals <- syscall.SIGHUP
	r.signals <- syscall.SIGTERM
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if list, err := runtimedir.List(r.cfg.RuntimeDir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	if out := r.out.String(); !strings.Contains(out, "ready") || strings.Count(out, "the certificate expires soon") != 2 || !strings.Contains(out, "stopping") {
		t.Error(out)
	}
}

// TestStoreStatus: what becomes of the store is said once.
func TestStoreStatus(t *testing.T) {
	r := newRig(t)
	r.start()
	r.page()
	store := r.fake.d.store
	if err := store.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id := open(t, store)
	_, _ = store.Write(id, 0, make([]byte, 1<<20-1<<12))
	r.says("store degraded", "low-space")
	if err := store.Delete(id); err != nil {
		t.Fatal(err)
	}
	r.says("store recovered")
	r.signals <- syscall.SIGINT
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

// TestStoreStatusAtStart: so is what it is when serving begins.
func TestStoreStatusAtStart(t *testing.T) {
	r := newRig(t)
	r.opened = func(store logserver.Log) {
		if err := store.RegisterService(0); err != nil {
			t.Error(err)
		}
		_, _ = store.Write(open(t, store), 0, make([]byte, 1<<20-1<<12))
	}
	r.start()
	r.says("store degraded", "low-space")
	r.signals <- syscall.SIGINT
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

func (r *rig) says(words ...string) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		out := r.out.String()
		all := true
		for _, w := range words {
			all = all && strings.Contains(out, w)
		}
		if all {
			return
		}
	}
	r.t.Errorf("does not say %q\n%s", words, r.out.String())
}

func TestExpiry(t *testing.T) {
	r := newRig(t)
	r.cfg.ExpireAfter = time.Millisecond // looked at each second
	r.start()
	r.page()
	store := r.fake.d.store
	if err := store.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	open(t, store)
	r.says("connections expired")
	if n := store.NumActive(); n != 0 {
		t.Errorf("%d connections", n)
	}
	r.signals <- syscall.SIGTERM
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

func listenAnywhere(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestFailures: what cannot be opened is told, and nothing stays behind.
func TestFailures(t *testing.T) {
	taken := listenAnywhere(t)
	defer taken.Close()
	for says, change := range map[string]func(*rig){
		"address already in use": func(r *rig) { r.cfg.Listen = []string{taken.Addr().String()} },
		"server.pem has expired": func(r *rig) { r.expired() },
		"no such file":           func(r *rig) { r.cfg.TLS.Key += "x" },
		"not the URL of a log":   func(r *rig) { r.cfg.Store = "disk" },
		"listen on 127.0.0.1:":   func(r *rig) { r.fake.fail = errors.New("out of order") },
		"for file: only":         func(r *rig) { r.cfg.KeyFile = "key" },
		"not the certificate of a s": func(r *rig) {
			r.cfg.TLS.Cert = r.cfg.TLS.Authority
			r.cfg.TLS.Key = filepath.Dir(r.cfg.TLS.Key) + "/ca.key"
		},
	} {
		r := newRig(t)
		change(r)
		r.start()
		if err := r.end(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if list, _ := runtimedir.List(r.cfg.RuntimeDir); len(list) > 0 {
			t.Errorf("%s: left behind: %v", says, list)
		}
	}
}

// expired makes the certificate one that is no longer valid.
func (r *rig) expired() {
	a, err := certs.Open(filepath.Dir(r.cfg.TLS.Key))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := a.Server([]string{"x"}, certs.Options{Force: true, Valid: time.Nanosecond}); err != nil {
		r.t.Fatal(err)
	}
}
