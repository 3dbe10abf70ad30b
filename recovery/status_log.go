package recovery

import (
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/rawio"
)

// logStatus is how the log does.
func (h *Host) logStatus(snap rawio.Snapshot) status.Log {
	used, limit := h.store.Usage()
	out := status.Log{
		Backend: string(backend.Memory), URL: h.cfg.Log.URL, Status: h.store.Status().String(), Memory: uint64(used),
		QuotaTotal: uint64(limit), FullEvents: snap.QuotaFull, DownEvents: snap.LogDown,
	}
	if u, err := backend.Parse(h.cfg.Log.URL); err == nil {
		out.Backend, out.URL = string(u.Kind), u.String()
	}
	out.Reason = h.complaints.Reason(h.store)
	if file := h.cfg.Log.TLS.Cert; file != "" {
		if c, err := certs.ReadCert(file); err == nil {
			out.Certificate = &c.NotAfter
		}
	}
	for i := range snap.Connections {
		c := &snap.Connections[i]
		out.Bytes += uint64(max(c.Stable-c.Start, 0))
		out.Pending += uint64(max(c.Received-c.Stable, 0))
	}
	return out
}
