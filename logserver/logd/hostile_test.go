package logd_test

import (
	"crypto/rand"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func TestVersion(t *testing.T) {
	r := newRig(t, logd.Config{Insecure: true})
	p := r.dial(nil)
	p.send(wire.AppendHello(nil, wire.Hello{Min: wire.Version + 1, Max: wire.Version + 5}))
	e, err := wire.ParseError(p.next())
	if err != nil || e.Code != wire.CodeVersion {
		t.Errorf("answer to a newer version: %v, %v", e, err)
	}
	p.ended()
}

// TestGarbage: a peer that breaks the protocol loses its connection, and
// nothing else happens.
func TestGarbage(t *testing.T) {
	r := newRig(t, logd.Config{Insecure: true, HandshakeTimeout: 2 * time.Second})
	noise := make([]byte, 5000)
	_, _ = rand.Read(noise)
	for name, first := range map[string][]byte{
		"noise": noise, "http": []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		"large hello": wire.AppendHeader(nil, wire.TypeHello, 0, wire.MaxHello+1),
		"no hello":    wire.AppendDelete(nil, 1),
	} {
		p := r.dial(nil)
		_, _ = p.conn.Write(first)
		t.Log(name)
		p.ended()
	}
	for name, frame := range map[string][]byte{
		"oversize":   wire.AppendHeader(nil, wire.TypeData, 0, wire.MaxPayload+1),
		"gigantic":   wire.AppendHeader(nil, wire.TypeData, 0, 1<<31),
		"unknown":    wire.Append(nil, 0x7f, 0, []byte("1234")),
		"server's":   wire.Append(nil, wire.TypeStates, 0, nil),
		"short":      wire.Append(nil, wire.TypeDelete, 0, []byte("123")),
		"hello":      wire.AppendHello(nil, wire.Hello{Min: wire.Version, Max: wire.Version}),
		"many reads": wire.AppendReads(nil, 0, wire.Reads{ID: 1, Runs: []logserver.ReadRun{{Length: 1, Count: 1 << 31}}}),
		"reserved":   {0, 0, 0, 0, byte(wire.TypeAlive), 0, 1, 0},
	} {
		p := r.dial(nil)
		p.greet(wire.Hello{})
		p.send(frame)
		t.Log(name)
		if e, err := wire.ParseError(p.until(wire.TypeError)); err != nil || e.Code != wire.CodeProtocol {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		p.ended()
	}
	soon(t, "no session is left", func() bool { return len(r.srv.Peers()) == 0 })
}

// TestFuzzedSession feeds a session well-formed frames that make no sense.
func TestFuzzedSession(t *testing.T) {
	r := newRig(t, logd.Config{Insecure: true})
	for round := range 200 {
		p := r.dial(nil)
		w := p.greet(wire.Hello{})
		id := logserver.ConnID(w.Block.Number)<<32 | 1
		meta := logtest.Example(round)
		meta.ID = id
		b := wire.AppendOpen(wire.AppendRegister(nil, 0), wire.TypeOpen, 0, 1, &meta)
		var dice [40]byte
		_, _ = rand.Read(dice[:])
		for _, d := range dice {
			off := int64(d) * 3
			switch d % 12 {
			case 0, 1, 2:
				b = append(wire.AppendDataHeader(b, d&1, id+logserver.ConnID(d&1), off, 5), "hello"...)
			case 3:
				b = wire.AppendFinish(b, id, off)
			case 4:
				b = wire.AppendRebase(b, id, &logserver.Base{In: off, Out: off / 2})
			case 5:
				b = wire.AppendReads(b, d&1, wire.Reads{ID: id, At: off, Runs: []logserver.ReadRun{{Length: uint32(d) + 1, Count: 3}}})
			case 6:
				b = wire.AppendDelete(b, id)
			case 7:
				b = wire.AppendOpen(b, wire.TypeOpen, d&1, uint32(d), &meta)
			case 8:
				b = wire.AppendOpen(b, wire.TypeUpdate, 0, uint32(d), &meta)
			case 9:
				b = wire.AppendRequest(b, wire.Request{Type: wire.TypeRead, Req: uint32(d), ID: id, First: off, N: 1 << 40})
			case 10:
				b = wire.AppendRequest(b, wire.Request{Type: wire.TypeActive, Req: uint32(d), N: 1 << 40})
			case 11:
				b = wire.AppendRequest(b, wire.Request{Type: wire.TypeExpire, Req: uint32(d), Before: 1 << 62})
			}
		}
		_, _ = p.conn.Write(b)
		_ = p.conn.(*net.TCPConn).CloseWrite()
		p.ended()
	}
	soon(t, "no session is left", func() bool { return len(r.srv.Peers()) == 0 })
}

// TestNeverReads: a peer that asks and does not listen is given up, and costs
// little until then.
func TestNeverReads(t *testing.T) {
	r := newRig(t, logd.Config{Insecure: true, WriteTimeout: 300 * time.Millisecond})
	l := r.client(nil)
	id, err := l.Open(logtest.Example(1))
	if err != nil {
		t.Fatal(err)
	}
	const size = 16 << 20
	if _, err := l.Write(id, 0, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	soon(t, "the data is stable", func() bool { _, end, _ := l.Length(id); return end == size })
	before := heap()
	p := r.dial(nil)
	p.greet(wire.Hello{})
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	most := uint64(0)
	for req := uint32(0); ; req++ {
		b := wire.AppendRequest(nil, wire.Request{Type: wire.TypeRead, Req: req, ID: id, N: size})
		if _, err := p.conn.Write(b); err != nil {
			break
		}
		if req%1000 == 0 {
			most = max(most, heap())
		}
		if req > 1000 && len(r.srv.Peers()) < 2 {
			break
		}
	}
	if most > before+32<<20 {
		t.Errorf("%d MiB of memory for a peer that does not read", (most-before)>>20)
	}
	soon(t, "the peer is given up", func() bool { return len(r.srv.Peers()) == 1 })
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestVanishes: of a peer that is gone without a word nothing is left soon.
func TestVanishes(t *testing.T) {
	r := newRig(t, logd.Config{Insecure: true})
	p := r.dial(nil)
	p.greet(wire.Hello{Silence: 200 * time.Millisecond})
	began := time.Now()
	soon(t, "the session has ended", func() bool { return len(r.srv.Peers()) == 0 })
	if d := time.Since(began); d < 150*time.Millisecond {
		t.Errorf("ended after %v", d)
	}
	// One that says something now and then stays.
	p = r.dial(nil)
	p.greet(wire.Hello{Silence: 200 * time.Millisecond})
	for range 10 {
		time.Sleep(50 * time.Millisecond)
		p.send(wire.AppendHeader(nil, wire.TypeAlive, 0, 0))
	}
	if len(r.srv.Peers()) != 1 {
		t.Error("the session has ended")
	}
}

// TestFlood: strangers that say nothing are few and do not stay, and peers get
// in again when they are gone.
func TestFlood(t *testing.T) {
	r := newRig(t, logd.Config{HandshakeTimeout: 500 * time.Millisecond, MaxHandshakes: 20, MaxHandshakesPerAddress: 5})
	cfg := r.tls("good", "a")
	inside := r.dial(cfg)
	inside.greet(wire.Hello{Silence: time.Minute})
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for range 200 {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte{22, 3, 1, 0, 200}) // begins a handshake
		conns = append(conns, conn)
	}
	if n := runtime.NumGoroutine() - before; n > 5*5 {
		t.Errorf("%d goroutines for 200 strangers of one address", n)
	}
	inside.send(wire.AppendRequest(nil, wire.Request{Type: wire.TypeSync, Req: 5}))
	inside.until(wire.TypeDone)
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for {
			if _, err := conn.Read(make([]byte, 100)); err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Fatal("a stranger is kept")
				}
				break
			}
		}
	}
	r.dial(cfg).greet(wire.Hello{})
	if n := r.srv.Counters().Refused; n < 200 {
		t.Errorf("%d strangers were refused", n)
	}
}

func TestTooManySessions(t *testing.T) {
	r := newRig(t, logd.Config{MaxSessionsPerPeer: 2, MaxSessions: 3})
	a, b := r.tls("a", "a"), r.tls("b", "b")
	busy := func(p *raw) {
		t.Helper()
		p.send(wire.AppendHello(nil, wire.Hello{Min: wire.Version, Max: wire.Version}))
		if e, err := wire.ParseError(p.next()); err != nil || e.Code != wire.CodeBusy {
			t.Errorf("answer: %v, %v", e, err)
		}
	}
	first := r.dial(a)
	given := first.greet(wire.Hello{Silence: time.Minute}).Block
	r.dial(a).greet(wire.Hello{Silence: time.Minute})
	busy(r.dial(a))
	r.dial(b).greet(wire.Hello{Silence: time.Minute})
	busy(r.dial(b))
	// A session that goes on over another connection is not another session.
	if w := r.dial(a).greet(wire.Hello{Blocks: []wire.Block{given}}); !w.Resumed {
		t.Error("the session does not go on")
	}
	first.ended()
}
