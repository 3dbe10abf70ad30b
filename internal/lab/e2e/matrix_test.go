package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/status"
)

const (
	matrixConns = 12
	matrixKills = 4
)

// TestNetworks: in each place where a server may stand, what the status calls protected
// survives. Twelve connections talk without pause while the server is killed four
// times; no client sees an error, and a capture at the client has neither RST nor FIN.
// In a place where that can't be had, status must have said so before the first kill.
func TestNetworks(t *testing.T) {
	for _, p := range places {
		for _, f := range families[:2] {
			for _, m := range counters(t) {
				t.Run(p.name+"/"+f.name+"/"+m.name, func(t *testing.T) {
					t.Parallel()
					inPlace(t, p, f, m)
				})
			}
		}
	}
}

func inPlace(t *testing.T, p place, f family, m mode) {
	r := prepare(t, options{})
	at := p.arrange(r)
	m.spawn(r)
	file := filepath.Join(t.TempDir(), "client.pcapng")
	seen, err := capture.Start(r.lab.Client, at.link, file, 128)
	if err != nil {
		t.Fatal(err)
	}
	address := at.address(f)
	replies := make([]atomic.Int64, matrixConns)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	load := workload.Counter{
		Address: address, Conns: matrixConns, Seed: 5, Dial: fromClient(r),
		Reply: func(i int, _ time.Duration) { replies[i].Add(1) },
	}
	done := make(chan *workload.Report, 1)
	go func() { done <- load.Run(ctx) }()
	// Each has two more replies than now: it was served since.
	served := func() {
		t.Helper()
		var before [matrixConns]int64
		for i := range before {
			before[i] = replies[i].Load()
		}
		limit := time.After(time.Minute)
		for i := range before {
			for replies[i].Load() < before[i]+2 {
				select {
				case report := <-done:
					t.Fatalf("the clients ended: %v", report.Err())
				case <-limit:
					t.Fatalf("client %d waited for a minute; status:\n%s", i, r.listed())
				case <-time.After(statusPoll):
				}
			}
		}
	}
	served()
	if why := r.whyUnprotected(); why != "" {
		if !p.unprotected {
			t.Errorf("not protected, where it can be: %s", why)
		}
		t.Logf("said before the first kill: %s", why)
		cancel()
		<-done
		return
	}
	for range matrixKills {
		r.kill()
		served()
	}
	ended := time.Now()
	cancel()
	if err := (<-done).Err(); err != nil {
		t.Errorf("%v; status:\n%s", err, r.listed())
	}
	if stats, err := seen.Stop(); err != nil || stats.Lost > 0 {
		t.Fatalf("the capture is incomplete: %+v, %v", stats, err)
	}
	noEnd(t, file, ended)
}

// noEnd checks that no server has ended a connection before that time.
func noEnd(t *testing.T, file string, ended time.Time) {
	t.Helper()
	for range capture.Unreachable(file) {
		t.Error("an ICMP error reached the client")
	}
	captured := 0
	for s, err := range capture.Segments(file, netip.Addr{}) {
		if err != nil {
			t.Fatal(err)
		}
		captured++
		fromServer := s.Src.Port() == 7000 || s.Src.Port() == dnatPort
		if fromServer && (s.Flags.Has(segment.RST) || s.Flags.Has(segment.FIN) && s.Time.Before(ended)) {
			t.Errorf("packet %d: the server's end: %v", s.Number, &s.Segment)
		}
	}
	if captured < 100 {
		t.Errorf("only %d segments were captured", captured)
	}
}

// whyUnprotected returns why some client's connection is not protected, in the words of
// the status, which must have a reason; "" if all are. It waits until status knows all.
func (r *rig) whyUnprotected() (why string) {
	r.t.Helper()
	var found []string
	r.waitStatus("the connections are known", func(d *status.Document) bool {
		found = nil
		for _, c := range d.Connections {
			if c.Protection == status.Unprotected {
				if c.Reason == "" {
					r.t.Errorf("%s is unprotected without a reason", c.Client)
				}
				found = append(found, c.Reason)
			}
		}
		return len(d.Connections) >= matrixConns
	})
	slices.Sort(found)
	if found = slices.Compact(found); len(found) == 0 {
		return ""
	}
	return fmt.Sprint(found)
}

// listed is what status says of them.
func (r *rig) listed() (text string) {
	d, err := r.status()
	if err != nil {
		return err.Error()
	}
	for _, c := range d.Connections {
		text += fmt.Sprintf("%s %s %s %s\n", c.Client, c.State, c.Protection, c.Reason)
	}
	return text
}
