package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// TestCaptureHoldsInvariants reads a capture taken at the client: no FIN or
// RST from the server that the application did not ask for, no ICMP error, and
// no ACK number above what was stable when it was sent.
func TestCaptureHoldsInvariants(t *testing.T) {
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) { captured(t, f, nil, "counter") })
	}
}

// captured runs a counter with these flags of ftnet run.
func captured(t *testing.T, f family, flags []string, server string) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	o := options{run: "tracedrun", flags: append([]string{"--trace", trace}, flags...)}
	r := start(t, o, server, "-listen", ":7000")
	file := filepath.Join(dir, "client.pcapng")
	c, err := capture.Start(r.lab.Client, netlab.ClientLink, file, 128)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := workload.Counter{Address: f.address(7000), Conns: 20, Seed: 3, Pipeline: 8, Dial: fromClient(r)}
	done := make(chan *workload.Report, 1)
	go func() { done <- client.Run(ctx) }()
	for range 5 {
		pause(200 * time.Millisecond)
		r.kill()
		r.recovered()
	}
	ended := time.Now()
	cancel()
	if err := (<-done).Err(); err != nil {
		t.Fatal(err)
	}
	stats, err := c.Stop()
	if err != nil || stats.Lost > 0 {
		t.Fatalf("the capture is incomplete: %+v, %v", stats, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	audit(t, file, readTrace(t, trace), ended, len(flags) > 0)
}

// rise is one line of the trace.
type rise struct {
	at     int64
	stable uint32
}

func readTrace(t *testing.T, path string) map[segment.Flow][]rise {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[segment.Flow][]rise{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var client, server string
		var r rise
		if _, err := fmt.Sscan(sc.Text(), &client, &server, &r.stable, &r.at); err != nil {
			t.Fatalf("trace line %q: %v", sc.Text(), err)
		}
		flow := segment.Flow{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}
		out[flow] = append(out[flow], r)
	}
	return out
}

// audit checks every segment that the server's side sent. The clients close
// after the time ended; a FIN before it is one that nobody asked for. Where a
// server on the wire has closed, nobody will read what is acknowledged from then
// on, so it need not be stable; and if both sides have, the kernel may answer what
// comes late, as it does without ftnet.
func audit(t *testing.T, file string, trace map[segment.Flow][]rise, ended time.Time, wire bool) {
	t.Helper()
	for range capture.Unreachable(file) {
		t.Error("an ICMP error reached the client")
	}
	checked := 0
	next := map[segment.Flow]int{}
	closed, left := map[segment.Flow]bool{}, map[segment.Flow]bool{} // by the server, by the client
	for s, err := range capture.Segments(file, netip.Addr{}) {
		if err != nil {
			t.Fatal(err)
		}
		flow := segment.Flow{Client: s.Dst, Server: s.Src}
		if s.Src.Port() != 7000 {
			flow = segment.Flow{Client: s.Src, Server: s.Dst}
			left[flow] = left[flow] || s.Flags.Has(segment.FIN)
			continue
		}
		if s.Flags.Has(segment.RST) && !(closed[flow] && left[flow]) {
			t.Errorf("packet %d: RST from the server: %v", s.Number, &s.Segment)
		}
		if s.Flags.Has(segment.FIN) && s.Time.Before(ended) {
			t.Errorf("packet %d: FIN from the server before any client had closed: %v", s.Number, &s.Segment)
		}
		closed[flow] = closed[flow] || wire && s.Flags.Has(segment.FIN)
		rises := trace[flow]
		i := next[flow]
		for i+1 < len(rises) && rises[i+1].at <= s.Time.UnixNano() {
			i++
		}
		next[flow] = i
		if len(rises) == 0 || rises[i].at > s.Time.UnixNano() {
			t.Errorf("packet %d left before anything of its connection was stable: %v", s.Number, &s.Segment)
			continue
		}
		if seqnum.Less(rises[i].stable, s.Ack) && !closed[flow] {
			t.Errorf("packet %d acknowledges %d, but only %d was stable: %v", s.Number, s.Ack, rises[i].stable, &s.Segment)
		}
		checked++
	}
	if checked < 1000 {
		t.Errorf("only %d segments were captured", checked)
	}
	t.Logf("%d segments checked", checked)
}
