package e2e

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
)

// status fetches the engine's status document.
func (r *rig) status() (*status.Document, error) {
	entries, err := runtimedir.List(r.runtime)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Alive {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return status.Fetch(ctx, filepath.Join(r.runtime, e.ID, runtimedir.StatusSocket))
	}
	return nil, os.ErrNotExist
}

// waitStatus polls the status page, the only place that tells another process
// what the engine does, until ok holds.
func (r *rig) waitStatus(what string, ok func(*status.Document) bool) *status.Document {
	r.t.Helper()
	return r.waitFor(20*time.Second, what, ok)
}

func (r *rig) waitFor(limit time.Duration, what string, ok func(*status.Document) bool) *status.Document {
	r.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		d, err := r.status()
		if err == nil && ok(d) {
			return d
		}
		select {
		case err := <-r.exited:
			r.exited <- err
			r.t.Fatalf("ftnet ended while waiting until %s: %v\n%s", what, err, tail(r.out.String(), 4000))
		case <-time.After(r.poll):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s; last status %+v, error %v", what, d, err)
		}
	}
}

// waitBytes waits until some connection has moved n bytes in either direction.
func (r *rig) waitBytes(n uint64) {
	r.t.Helper()
	r.waitFor(2*time.Minute, "bytes have moved", func(d *status.Document) bool {
		for _, c := range d.Connections {
			if max(c.BytesIn, c.BytesOut) >= n {
				return true
			}
		}
		return false
	})
}

// recovered waits until the service serves again and every connection is live.
func (r *rig) recovered() *status.Document {
	r.t.Helper()
	return r.waitStatus("the service has recovered", func(d *status.Document) bool {
		if d.Process.PID == r.last || d.Process.State != status.ProcessRunning || len(d.Services) == 0 {
			return false
		}
		for _, s := range d.Services {
			if s.State != status.ServiceListening {
				return false
			}
		}
		return true
	})
}
