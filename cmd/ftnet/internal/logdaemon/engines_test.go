package logdaemon

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
)

// startReal starts the log server with the protocol.
func (r *rig) startReal() {
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	r.signals, r.result = make(chan os.Signal, 1), make(chan error, 1)
	log := hclog.New(&hclog.LoggerOptions{Output: &r.out})
	go func() { r.result <- Run(ctx, Options{Config: r.cfg, Signals: r.signals, Logger: log}) }()
}

// stop ends it in order.
func (r *rig) stop() {
	r.t.Helper()
	r.signals <- syscall.SIGTERM
	if err := r.end(); err != nil {
		r.t.Error(err)
	}
}

// client makes a certificate for services, and opens the log with it.
func (r *rig) client(name string, services ...string) logserver.Log {
	r.t.Helper()
	dir := filepath.Dir(r.cfg.TLS.Cert)
	a, err := certs.Open(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := a.Client(services, certs.Options{Name: name}); err != nil {
		r.t.Fatal(err)
	}
	l, err := backend.Open("ftlog://"+r.cfg.Listen[0], backend.Options{TLS: certs.Files{
		Authority: r.cfg.TLS.Authority, Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	if err := l.RegisterService(0); err != nil {
		r.t.Fatal(err)
	}
	return l
}

// eventually waits until f is true.
func (r *rig) eventually(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	r.t.Fatalf("%s: not within 15 s\n%s", what, r.out.String())
}

func flow(port uint16) logserver.Flow {
	return logserver.Flow{Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), Server: netip.MustParseAddrPort("192.0.2.2:80")}
}

// log opens a connection and logs bytes of it.
func (r *rig) log(l logserver.Log, service string, port uint16, p []byte) (id logserver.ConnID) {
	r.t.Helper()
	r.eventually("a connection is opened", func() (ok bool) {
		var err error
		id, err = l.Open(logserver.Meta{Service: service, Flow: flow(port)})
		return err == nil
	})
	if n, err := l.Write(id, 0, p); n != len(p) || err != nil {
		r.t.Fatal(n, err)
	}
	r.eventually("it is stable", func() bool {
		_, end, err := l.Length(id)
		return err == nil && end == int64(len(p))
	})
	return id
}

// TestEngines: what an engine logs outlives the log server's process; the status
// page tells of it; another engine's certificate does not reach it.
func TestEngines(t *testing.T) {
	r := newRig(t)
	r.cfg.Listen = []string{freeAddress(t)}
	r.cfg.Store = "file://" + filepath.Join(t.TempDir(), "store")
	r.cfg.QuotaTotal = 64 << 20
	r.startReal()
	r.page()
	web, cache := r.client("web", "web", "api"), r.client("cache", "cache")
	text := []byte("what a client has sent")
	id := r.log(web, "web", 1, text)
	r.log(cache, "cache", 2, []byte("another's"))

	var page *status.LogServer
	r.eventually("both engines are shown", func() bool {
		page = r.page().LogServer
		return len(page.Sessions) == 2 && page.Connections == 2 && page.Upcall.Samples > 0
	})
	s := page.Sessions[0]
	if s.Name != "engine of web, api" {
		s = page.Sessions[1]
	}
	if strings.Join(s.Services, " ") != "api web" || s.Connections != 1 || s.BytesIn != uint64(len(text)) || s.Since.IsZero() ||
		page.Accepted < 2 || page.BytesIn < uint64(len(text)) || page.Store.Backend != "file" || page.Store.Memory == 0 {
		t.Errorf("%+v", page)
	}

	if n := cache.NumActive(); n != 1 {
		t.Errorf("the other engine sees %d connections", n)
	}
	if _, err := cache.Meta(id); err == nil {
		t.Error("the other engine sees the connection")
	}
	if _, err := cache.Read(id, make([]byte, 10), 0); err == nil {
		t.Error("the other engine reads the connection")
	}
	if list, err := logserver.Lookup(cache, flow(1).Client); err != nil || len(list) != 0 {
		t.Errorf("the other engine looks the connection up: %v, %v", list, err)
	}

	r.stop()
	r.eventually("the engine notices", func() bool { return web.Status()&logserver.Unreachable != 0 })
	more := []byte(", and then some")
	if n, err := web.Write(id, int64(len(text)), more); n != len(more) || err != nil {
		t.Error(n, err)
	}
	r.startReal()
	r.eventually("the engine goes on", func() bool {
		_, end, err := web.Length(id)
		return err == nil && end == int64(len(text)+len(more)) && web.Status() == logserver.OK
	})
	got := make([]byte, 100)
	if n, err := web.Read(id, got, 0); err != nil || !bytes.Equal(got[:n], append(text, more...)) {
		t.Errorf("%q, %v", got[:n], err)
	}
	web.Close()
	cache.Close()
	r.stop()
}

// freeAddress is one that nobody listens on, most likely.
func freeAddress(t *testing.T) string {
	t.Helper()
	l := listenAnywhere(t)
	defer l.Close()
	return l.Addr().String()
}

// TestExpiryOfEngines: what an engine that is connected writes is not forgotten.
func TestExpiryOfEngines(t *testing.T) {
	r := newRig(t)
	r.cfg.Listen = []string{freeAddress(t)}
	r.cfg.QuotaTotal = 64 << 20
	r.cfg.ExpireAfter = time.Millisecond // looked at each second
	r.startReal()
	r.page()
	stays, goes := r.client("stays", "stays"), r.client("goes", "goes")
	kept := r.log(stays, "stays", 1, []byte("x"))
	r.log(goes, "goes", 2, []byte("y"))
	if err := goes.Close(); err != nil {
		t.Fatal(err)
	}
	r.says("connections expired", "connections=1")
	if _, err := stays.Meta(kept); err != nil || r.page().LogServer.Connections != 1 {
		t.Errorf("%v, %+v", err, r.page().LogServer)
	}
	stays.Close()
	r.stop()
}
