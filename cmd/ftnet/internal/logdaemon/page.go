package logdaemon

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/version"
	"github.com/ftnet/ftnet/logserver/backend"
)

// document is the status page.
func (d *daemon) document() *status.Document {
	doc := &status.Document{Version: status.Version, Time: time.Now()}
	doc.Engine = status.Engine{
		ID: d.dir.ID, Name: d.name(), Version: version.String(), PID: os.Getpid(), Started: d.started,
		Command: []string{}, Interfaces: []string{},
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	doc.Memory = status.Memory{Resident: status.Resident(), Heap: m.HeapInuse, Goroutines: runtime.NumGoroutine()}
	sessions, counted := d.server.sessions()
	doc.LogServer = &status.LogServer{
		Listen: d.addresses(), Store: d.storePage(), Connections: d.store.NumActive(), Sessions: sessions,
		Accepted: counted.accepted, Refused: counted.refused, Fenced: counted.fenced,
		BytesIn: d.store.bytes.Load(), Upcall: d.store.latency(),
	}
	if c, err := certs.ReadCert(d.cfg.TLS.Cert); err == nil {
		doc.LogServer.Certificate = c.NotAfter
	}
	return doc
}

func (d *daemon) storePage() status.Log {
	used, limit := d.store.Usage()
	page := status.Log{URL: d.cfg.Store, Status: d.store.Status().String(), Memory: uint64(used), QuotaTotal: uint64(limit)}
	if u, err := backend.Parse(d.cfg.Store); err == nil {
		page.Backend, page.URL = string(u.Kind), u.String()
	}
	page.Reason = d.complaints.Reason(d.store)
	return page
}

// summary is the state in one line.
func (d *daemon) summary() string {
	sessions, _ := d.server.sessions()
	return fmt.Sprintf("%d engines, %d connections; store %s", len(sessions), d.store.NumActive(), d.store.Status())
}
