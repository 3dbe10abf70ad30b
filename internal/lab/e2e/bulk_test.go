package e2e

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/status"
)

const (
	gibibyte    = 1 << 30
	bulkCrashes = 10
)

var bulkOptions = options{flags: []string{"--quota", "1100MiB", "--quota-total", "2GiB"}}

// TestUploadAcrossCrashes: the server's checksum of 1 GiB is the client's,
// although the server was killed ten times on the way.
func TestUploadAcrossCrashes(t *testing.T) {
	r := start(t, bulkOptions, "bulk", "-listen", ":7001")
	transfer(r, workload.Upload)
}

// TestDownloadAcrossCrashes is the other direction.
func TestDownloadAcrossCrashes(t *testing.T) {
	r := start(t, bulkOptions, "bulk", "-listen", ":7001")
	transfer(r, workload.Download)
}

type move = func(ctx context.Context, dial workload.DialFunc, address string, n int64, seed uint64) (workload.Transfer, error)

// standstill is for how long nothing may move: how long a transfer takes altogether
// depends on who else needs the CPUs, for each restarted server computes the checksum anew.
const standstill = 3 * time.Minute

// moving puts the end off while something moves, and lets no kill come too late: what
// follows the part after which one is due moves slowly until then, and at most another part.
type moving struct {
	*net.TCPConn
	still *time.Timer
	part  int64
	kills []chan struct{} // each closed when it has happened
	moved int64
}

func (m *moving) pace() {
	due := int(m.moved / m.part)
	for i, killed := range m.kills[:min(due, len(m.kills))] {
		if i < due-1 {
			<-killed
			continue
		}
		select {
		case <-killed:
		case <-time.After(time.Millisecond):
		}
	}
}

func (m *moving) has(n int) {
	if m.moved += int64(n); n > 0 {
		m.still.Reset(standstill)
	}
}

func (m *moving) Read(p []byte) (int, error) {
	m.pace()
	n, err := m.TCPConn.Read(p)
	m.has(n)
	return n, err
}

func (m *moving) Write(p []byte) (int, error) {
	m.pace()
	n, err := m.TCPConn.Write(p)
	m.has(n)
	return n, err
}

// transfer moves a gibibyte.
func transfer(r *rig, f move) {
	r.t.Helper()
	transferSome(r, f, gibibyte, bulkCrashes)
}

// transferSome moves n bytes and kills the server so many times, whenever
// another part is through, as the status page tells.
func transferSome(r *rig, f move, n int64, crashes int) {
	r.t.Helper()
	transferOver(r, families[0], f, n, crashes)
}

// transferOver is transferSome over an address family.
func transferOver(r *rig, over family, f move, n int64, crashes int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	still := time.AfterFunc(standstill, cancel)
	defer still.Stop()
	part, kills := n/int64(crashes+2), make([]chan struct{}, crashes)
	for i := range kills {
		kills[i] = make(chan struct{})
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := over.dial(r)(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &moving{TCPConn: c.(*net.TCPConn), still: still, part: part, kills: kills}, nil
	}
	type result struct {
		workload.Transfer
		err error
	}
	done := make(chan result, 1)
	go func() {
		tr, err := f(ctx, dial, over.address(7001), n, 7)
		done <- result{tr, err}
	}()
	for i, killed := range kills {
		r.waitBytes(uint64(i+1) * uint64(part))
		r.kill()
		close(killed)
	}
	got := <-done
	if got.err != nil {
		r.t.Fatal(got.err)
	}
	// The last bytes may have passed before the last kill.
	d := r.waitStatus(fmt.Sprintf("%d restarts", crashes), func(d *status.Document) bool { return d.Process.Restarts >= uint64(crashes) })
	r.t.Logf("%d MiB in %v, longest pause %v, tap losses %d", n>>20, got.Took, got.LongestPause, d.Tap.Losses)
}
