package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

func TestLogServerTable(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	full := &status.Document{
		Version: status.Version, Time: now,
		Engine: status.Engine{ID: "00c0ffee", Name: "ftnet-logd", Version: "v0.1.0", PID: 17, Started: now.Add(-26 * time.Hour)},
		Memory: status.Memory{Resident: 40 << 20, Heap: 8 << 20},
		LogServer: &status.LogServer{
			Listen:      []string{"[::]:7070"},
			Store:       status.Log{Backend: "file", URL: "file:///var/lib/ftnet-logd", Status: "low-space", Reason: "7 of 8 GiB", Memory: 7 << 30, QuotaTotal: 8 << 30},
			Connections: 12, Accepted: 5, Refused: 1, Fenced: 1, BytesIn: 9 << 30,
			Upcall:      status.Latency{Samples: 1024, P50: 0.0007, P99: 0.0123},
			Certificate: now.Add(20 * 24 * time.Hour),
			Sessions: []status.LogSession{
				{Peer: "192.0.2.8:40001", Name: "engine of *", Services: []string{"*"}, Since: now.Add(-time.Minute)},
				{Peer: "192.0.2.7:40001", Name: "engine of cache, web", Services: []string{"cache", "web"}, Since: now.Add(-time.Hour), Connections: 12, BytesIn: 5 << 20, Pending: 4096},
			},
		},
	}
	empty := &status.Document{Version: status.Version, Time: now, Engine: status.Engine{Started: now, Name: "logd"},
		LogServer: &status.LogServer{Listen: []string{":1"}, Store: status.Log{URL: "memory:", Status: "ok"}}}
	var b strings.Builder
	if err := writeStatus(&b, []*status.Document{full, empty}, 3); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-logd.txt", b.String())
}

func TestCertificateLine(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)
	for left, want := range map[time.Duration]string{
		-time.Hour:            "certificate 2026-05-04: it has EXPIRED",
		10 * 24 * time.Hour:   "certificate 2026-05-14: 10 days left, renew it",
		300 * 24 * time.Hour:  "certificate 2027-02-28",
		24*time.Hour + 1:      "certificate 2026-05-05: 1 day left, renew it",
		12 * time.Hour / 1000: "certificate 2026-05-04: 0 days left, renew it",
	} {
		if got := certificateLine(now.Add(left), now); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
}
