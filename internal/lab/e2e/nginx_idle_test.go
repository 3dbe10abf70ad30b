package e2e

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestNginxSinceIdle: a browser's connection that is idle between two pages. The
// restarted nginx would answer the old requests with another Date, which is a
// difference in strict comparison; it is not asked, since they are dropped.
func TestNginxSinceIdle(t *testing.T) {
	t.Parallel()
	r, _ := nginx(t, append([]string{"--compare", "strict"}, sinceIdle...)...)
	transport := &http.Transport{DialContext: fromClient(r)}
	defer transport.CloseIdleConnections()
	for i := range 4 {
		if reused := r.page(transport); reused != (i > 0) {
			t.Fatalf("request %d: connection reused: %v", i, reused)
		}
		pause(max(idleFor, time.Second)) // so that the Date is another one
		if i%2 == 0 {
			r.crash()
		} else {
			r.killWorker(r.worker())
		}
	}
	r.check(func(s *status.Service) bool { return s.Mismatches == 0 && s.Accepted == 1 })
}

// page gets the front page and reports whether that took no new connection.
func (r *rig) page(transport *http.Transport) (reused bool) {
	r.t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	ctx := httptrace.WithClientTrace(r.t.Context(), trace)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+families[0].address(nginxPort)+"/", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	reply, err := transport.RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK || len(b) != nginxPage {
		r.t.Fatalf("%s, %d bytes, %v", reply.Status, len(b), err)
	}
	return reused
}
