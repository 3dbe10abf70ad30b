// Package logtest is the conformance suite of logserver.Log: a backend that
// passes [Run], and [RunPersistent] if it outlives its process, may stand behind
// the engine. It is for tests only.
//
// The suite takes nothing to be stable, and no space to be free again, before the
// log says so.
package logtest

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Limits is what a suite asks of the log that it tests.
type Limits struct {
	QuotaTotal, LowSpace int64
}

// Factory opens an empty log, which may take its time; a log server can be
// reached when it returns. The suite closes it.
// Limits of 0 mean the backend's default, which must hold at least 64 MiB.
type Factory func(t testing.TB, limits Limits) logserver.Log

// Run tests all that the Log interface promises.
func Run(t *testing.T, open Factory) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"Meta", testMeta},
		{"Register", testRegister},
		{"Query", testQuery},
		{"GivenID", testGivenID},
		{"Write", testWrite},
		{"Taken", testTaken},
		{"Finish", testFinish},
		{"ReadRanges", testReadRanges},
		{"Reads", testReads},
		{"Rebase", testRebase},
		{"Discard", testDiscard},
		{"DiscardReads", testDiscardReads},
		{"QuotaTotal", testQuotaTotal},
		{"QuotaReads", testQuotaReads},
		{"LowSpace", testLowSpace},
		{"Expire", testExpire},
		{"Reuse", testReuse},
		{"Errors", testErrors},
		{"Closed", testClosed},
		{"UpcallReenters", testUpcallReenters},
		{"Concurrent", testConcurrent},
		{"ReadWhileDeleted", testReadWhileDeleted},
		{"CloseWhileBusy", testCloseWhileBusy},
		{"Model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// Server is the server endpoint of the suite's connections.
var Server = netip.MustParseAddrPort("192.0.2.1:7000")

// Example returns a Meta with every field that is the caller's to fill. n
// makes it unique.
func Example(n int) logserver.Meta {
	return logserver.Meta{
		Tag:     uint64(n) + 1000,
		Service: "counter",
		Flow: logserver.Flow{
			Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(n >> 14)}), uint16(n&0x3fff)+1024),
			Server: Server,
		},
		Handshake: []byte{0, 0xff, byte(n >> 8), byte(n)},
	}
}

// bed is a log under test together with what it said by upcalls.
type bed struct {
	*testing.T
	logserver.Log
	mu     sync.Mutex // guards the fields below
	news   *sync.Cond
	stable map[logserver.ConnID]int64
	tags   map[logserver.ConnID]uint64 // of the last upcall
	meta   map[logserver.ConnID]int
	fin    map[logserver.ConnID]bool
	gone   map[logserver.ConnID]bool
	loses  bool // it may lose connections
	status []logserver.Status
}

func start(t *testing.T, open Factory, limits Limits) *bed {
	t.Helper()
	return newBed(t, open(t, limits))
}

// newBed makes a bed of an open log, which it closes.
func newBed(t *testing.T, l logserver.Log) *bed {
	t.Helper()
	b := &bed{T: t, Log: l, stable: map[logserver.ConnID]int64{}, tags: map[logserver.ConnID]uint64{}, meta: map[logserver.ConnID]int{}, fin: map[logserver.ConnID]bool{}, gone: map[logserver.ConnID]bool{}}
	b.news = sync.NewCond(&b.mu)
	b.SetUpcall(b.upcall)
	b.SetStatusUpcall(func(s logserver.Status) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.status = append(b.status, s)
		b.news.Broadcast()
	})
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, logserver.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	b.must(b.RegisterService(Server.Port()))
	return b
}

func (b *bed) upcall(list []logserver.Upcall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range list {
		b.stable[u.ID], b.tags[u.ID] = max(b.stable[u.ID], u.Stable), u.Tag
		if u.Meta {
			b.meta[u.ID]++
		}
		if u.Fin {
			b.fin[u.ID] = true
		}
		if u.Gone && !b.loses {
			b.Errorf("connection %d is lost", u.ID)
		}
		b.gone[u.ID] = b.gone[u.ID] || u.Gone
	}
	b.news.Broadcast()
}

// patience is how long the suite waits for what must come.
const patience = 30 * time.Second

// await waits until upcalls have made cond true.
func (b *bed) await(what string, cond func() bool) {
	b.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		late = true
		b.news.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !cond() {
		if late {
			b.Fatalf("no upcall: %s", what)
		}
		b.news.Wait()
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// soon waits until cond is true, of which no upcall tells.
func soon(t failer, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// empties waits until the log occupies no more than an empty one may: some
// bookkeeping.
func empties(t failer, l logserver.Log) {
	t.Helper()
	most := int64(bookkeeping)
	if logserver.IsImmediate(l) {
		most = 0
	}
	soon(t, "an empty log occupies next to nothing", func() bool { used, _ := l.Usage(); return used <= most })
}

const bookkeeping = 64 << 10

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bed) is(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Fatalf("error is %v, want %v", err, want)
	}
}

// quota checks that err is a QuotaError of this scope.
func (b *bed) quota(err error, scope logserver.Scope) {
	b.Helper()
	q, ok := errors.AsType[*logserver.QuotaError](err)
	if !ok || q.Scope != scope || !errors.Is(err, logserver.ErrQuota) {
		b.Fatalf("error is %v, want the quota of scope %v", err, scope)
	}
}

func (b *bed) open(n int) logserver.ConnID {
	b.Helper()
	id, err := b.Open(Example(n))
	b.must(err)
	b.await("metadata", func() bool { return b.meta[id] > 0 })
	return id
}

// take appends all of p.
func (b *bed) take(id logserver.ConnID, off int64, p []byte) {
	b.Helper()
	n, err := b.Write(id, off, p)
	b.must(err)
	if n != len(p) {
		b.Fatalf("Write took %d of %d bytes", n, len(p))
	}
}

// write appends and waits until what was written is stable.
func (b *bed) write(id logserver.ConnID, off int64, p []byte) {
	b.Helper()
	b.take(id, off, p)
	b.await("data", func() bool { return b.stable[id] >= off+int64(len(p)) })
}

// insist is write, and waits where there is no room yet.
func (b *bed) insist(id logserver.ConnID, off int64, p []byte) {
	b.Helper()
	end := off + int64(len(p))
	soon(b, "there is room again", func() bool {
		n, err := b.Write(id, off, p)
		if !errors.Is(err, logserver.ErrQuota) {
			b.must(err)
		}
		off, p = off+int64(n), p[n:]
		return len(p) == 0
	})
	b.await("data", func() bool { return b.stable[id] >= end })
}

// refuses checks that Write fails in this way and says that it has taken n bytes.
func (b *bed) refuses(id logserver.ConnID, off int64, p []byte, n int, want error) {
	b.Helper()
	got, err := b.Write(id, off, p)
	if got != n || !errors.Is(err, want) {
		b.Fatalf("Write of %d bytes at %d: %d, %v, want %d, %v", len(p), off, got, err, n, want)
	}
}

// holds checks that the log has exactly this data from start on.
func (b *bed) holds(id logserver.ConnID, start int64, want []byte) {
	b.Helper()
	from, end, err := b.Length(id)
	b.must(err)
	if from != start || end != start+int64(len(want)) {
		b.Fatalf("Length is %d..%d, want %d..%d", from, end, start, start+int64(len(want)))
	}
	got := make([]byte, len(want)+10)
	n, err := b.Read(id, got, start)
	b.must(err)
	if n != len(want) || !bytes.Equal(got[:n], want) {
		b.Fatalf("Read returned %d bytes, want %d, or other ones", n, len(want))
	}
}

// Pattern fills p with bytes that depend on a connection and on their offset
// in its stream only.
func Pattern(p []byte, conn uint64, off int64) []byte {
	for i := range p {
		x := (conn+1)*0x9e3779b97f4a7c15 ^ uint64(off+int64(i))*0xd6e8feb86659fd93
		p[i] = byte(x >> 32)
	}
	return p
}

func pattern(n int, conn uint64, off int64) []byte { return Pattern(make([]byte, n), conn, off) }
