//go:build linux

package ftnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

// fakeCarrier carries bytes through memory. It is used by one goroutine at a time but for Close
// and Abort.
type fakeCarrier struct {
	from   start
	log    []byte         // the client's stream from its beginning
	page   int            // largest answer of ReadLog
	live   bytes.Buffer   // what Read gives
	sent   bytes.Buffer   // what Write has got
	room   int            // that Write has, then it fails like a deadline; < 0: any
	before func(p []byte) // if not nil, what happens before a Write
	waits  func()         // if not nil, what happens while Read waits until its deadline
	calls  []string
	missed []control.Mismatch
	until  []time.Time   // read deadlines
	stuck  chan struct{} // if not nil, ReadLog tells here that it waits for ctx
}

var _ carrier = (*fakeCarrier)(nil)

func (f *fakeCarrier) Read(p []byte) (int, error) {
	if f.waits != nil && f.live.Len() == 0 {
		f.waits()
		return 0, os.ErrDeadlineExceeded
	}
	return f.live.Read(p)
}

func (f *fakeCarrier) SetReadDeadline(t time.Time) error {
	f.until = append(f.until, t)
	return nil
}

func (f *fakeCarrier) SetWriteDeadline(time.Time) error { return nil }

func (f *fakeCarrier) Write(p []byte) (int, error) {
	if f.before != nil {
		f.before(p)
	}
	if f.room >= 0 && len(p) > f.room {
		f.sent.Write(p[:f.room])
		n := f.room
		f.room = 0
		return n, os.ErrDeadlineExceeded
	}
	f.room = max(-1, f.room-len(p))
	return f.sent.Write(p)
}

func (f *fakeCarrier) SendFile(file *os.File, n int64) (int64, error) {
	return io.CopyN(&f.sent, file, n)
}

func (f *fakeCarrier) call(name string) error {
	f.calls = append(f.calls, name)
	return nil
}

func (f *fakeCarrier) CloseRead() error  { return f.call("close read") }
func (f *fakeCarrier) CloseWrite() error { return f.call("close write") }
func (f *fakeCarrier) Close() error      { return f.call("close") }
func (f *fakeCarrier) Abort() error      { return f.call("abort") }

func (f *fakeCarrier) Start() start { return f.from }

func (f *fakeCarrier) State(context.Context) ([]byte, error) { return nil, nil }

func (f *fakeCarrier) ReadLog(ctx context.Context, at int64) ([]byte, error) {
	if f.stuck != nil {
		f.stuck <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if at < f.from.in || at >= f.from.logged {
		return nil, errors.New("not in the log")
	}
	return f.log[at:min(f.from.logged, at+int64(f.page))], nil
}

func (f *fakeCarrier) Mismatch(_ context.Context, m control.Mismatch) error {
	f.missed = append(f.missed, m)
	return nil
}

// fakeReplayer plays portions, compares output with want, and has all of it above acked due
// at once.
type fakeReplayer struct {
	next  []portion
	want  string
	stops []int // where writes time out
	pos   int
	acked int
	due   []byte
	other func() // if not nil, what happens while output is compared
}

var _ replayer = (*fakeReplayer)(nil)

func (f *fakeReplayer) Reading() bool { return len(f.next) > 0 }

func (f *fakeReplayer) NextRead(most int) portion {
	n := f.next[0]
	n.logged = min(n.logged, most)
	n.live = min(n.live, most-n.logged)
	return n
}

func (f *fakeReplayer) DidRead(n int) {
	p := &f.next[0]
	logged := min(n, p.logged)
	p.at, p.logged, p.live = p.at+int64(logged), p.logged-logged, p.live-(n-logged)
	if p.logged+p.live == 0 {
		f.next = f.next[1:]
	}
}

func (f *fakeReplayer) Writing() bool { return f.pos < len(f.want) || len(f.due) > 0 }

func (f *fakeReplayer) Output() (pos, end int64) { return int64(f.pos), int64(len(f.want)) }

func (f *fakeReplayer) Write(p []byte) (n int, timeout bool, m *MismatchError) {
	if f.other != nil {
		f.other()
	}
	if len(f.stops) > 0 && f.stops[0] < f.pos+len(p) {
		p, timeout = p[:f.stops[0]-f.pos], true
		f.stops = f.stops[1:]
	}
	p = p[:min(len(p), len(f.want)-f.pos)]
	if string(p) != f.want[f.pos:f.pos+len(p)] {
		return 0, false, &MismatchError{Offset: int64(f.pos), End: int64(f.pos + 1)}
	}
	f.due = append(f.due, p[min(len(p), max(0, f.acked-f.pos)):]...)
	f.pos += len(p)
	return len(p), timeout, nil
}

func (f *fakeReplayer) Due() []byte { return f.due }

func (f *fakeReplayer) Sent(n int) { f.due = f.due[n:] }

// keeper is a journal with the record of one connection.
type keeper struct {
	t testing.TB
	j *journal.Journal
	m *journal.Map
}

var someFlow = journal.Flow{Client: netip.MustParseAddrPort("192.0.2.1:4000"), Server: netip.MustParseAddrPort("192.0.2.2:80")}

func newKeeper(t testing.TB) *keeper {
	t.Helper()
	j, err := journal.Create(4, 1<<12)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	if err := j.Publish(0, 1, someFlow); err != nil {
		t.Fatal(err)
	}
	m, err := journal.Open(j.Fd())
	if err != nil {
		t.Fatal(err)
	}
	return &keeper{t, j, m}
}

// accept is what the next process does.
func (k *keeper) accept(c Compare) *journal.Record {
	k.t.Helper()
	rec, ok := k.m.Lookup(someFlow)
	if !ok || !rec.Accept(c) {
		k.t.Fatal("the record is not to be had")
	}
	return rec
}

// crash ends the process that has the record, and returns what the next one gets.
func (k *keeper) crash(una, left, stable int64) (*journal.Record, start) {
	k.t.Helper()
	if err := k.j.PrepareRecovery(0, journal.Base{}, una, left, stable); err != nil {
		k.t.Fatal(err)
	}
	rec := k.accept(CompareStrict)
	return rec, (&packetCarrier{rec: rec}).Start()
}

func (k *keeper) head() journal.Head {
	h, _ := k.j.Head(0)
	return h
}

// hasten lets replays wait no longer than their deadlines.
func hasten(t *testing.T) {
	before := replayPatience
	replayPatience = 0
	t.Cleanup(func() { replayPatience = before })
}

var discard = slog.New(slog.DiscardHandler)

// fakeConn is a protected connection without a kernel's socket; r is nil if it is not recovered.
func fakeConn(t testing.TB, k *keeper, f *fakeCarrier, r replayer) *Conn {
	c := &Conn{tcp: new(net.TCPConn), via: f, log: discard, rec: k.accept(CompareStrict)}
	if r != nil {
		c.repeat(r)
	}
	return c
}
