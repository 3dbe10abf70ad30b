package workload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve has handle serve each connection to the returned address.
func serve(t *testing.T, handle func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// counter serves as examples/counter does, but for what change makes of the
// n-th reply.
func counter(change func(n int, reply string) string) func(net.Conn) {
	return func(conn net.Conn) {
		in, t := bufio.NewReader(conn), newTally()
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, change(n, t.add(line))); err != nil {
				return
			}
		}
	}
}

func unchanged(_ int, reply string) string { return reply }

func TestCounterUntilDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var replies atomic.Int64
	c := Counter{Address: serve(t, counter(unchanged)), Conns: 5, Pipeline: 3, Reply: func(int, time.Duration) {
		if replies.Add(1) == 1000 {
			cancel()
		}
	}}
	r := c.Run(ctx)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Lines < 1000 || r.Lines != replies.Load() || r.Conns != 5 || r.Bytes < 20*r.Lines {
		t.Errorf("%+v", r)
	}
}

func TestCounterRedials(t *testing.T) {
	c := Counter{Address: serve(t, counter(unchanged)), Conns: 3, Lines: 2, Redials: 4}
	r := c.Run(context.Background())
	if err := r.Err(); err != nil || r.Conns != 15 || r.Lines != 30 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCounterDetects gives wrong answers of all kinds.
func TestCounterDetects(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle func(net.Conn)
		want   string
	}{
		{"changed", counter(func(n int, reply string) string {
			if n == 7 {
				return "7 0 0000000000000000\n"
			}
			return reply
		}), "reply 7 is"},
		{"lost", counter(func(n int, reply string) string {
			if n == 7 {
				return ""
			}
			return reply
		}), "reply 7 is \"8 "},
		{"repeated", counter(func(n int, reply string) string {
			if n == 20 {
				return reply + reply
			}
			return reply
		}), "after the last reply"},
		{"closed", func(conn net.Conn) { conn.Read(make([]byte, 5)) }, "reply 1"},
		{"reset", func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }, "reset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Counter{Address: serve(t, test.handle), Lines: 20, Pipeline: 4}
			r := c.Run(context.Background())
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), test.want) || r.Failed != 1 {
				t.Errorf("%v, want an error with %q", err, test.want)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		r := (&Counter{Address: ln.Addr().String()}).Run(context.Background())
		if r.Failed != 1 || r.Err() == nil {
			t.Errorf("%+v", r)
		}
	})
}

// TestCounterGrace meets a server that answers no more once the client's time
// is over.
func TestCounterGrace(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	defer close(release)
	c := Counter{Grace: time.Millisecond, Address: serve(t, counter(func(n int, reply string) string {
		if n == 3 {
			cancel()
			<-release
		}
		return reply
	}))}
	r := c.Run(ctx)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "i/o timeout") {
		t.Errorf("%v, want a timeout", err)
	}
}

func TestPause(t *testing.T) {
	const pause = 20 * time.Millisecond
	c := Counter{Lines: 5, Address: serve(t, counter(func(n int, reply string) string {
		if n == 3 {
			time.Sleep(pause)
		}
		return reply
	}))}
	r := c.Run(context.Background())
	if r.LongestPause < pause || r.Err() != nil {
		t.Errorf("longest pause is %v, want at least %v; %v", r.LongestPause, pause, r.Err())
	}
}

func TestStream(t *testing.T) {
	want := make([]byte, 1000)
	NewStream(5).Read(want)
	s, got := NewStream(5), []byte(nil)
	for n := 0; len(got) < len(want); n++ {
		p := make([]byte, min(n%13, len(want)-len(got)))
		s.Read(p)
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		t.Error("the stream depends on how it is read")
	}
	NewStream(6).Read(got)
	if bytes.Equal(got[:8], want[:8]) {
		t.Error("two seeds, one stream")
	}
}

func bulkServer(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go ServeBulk(ln, nil)
	return ln.Addr().String()
}

func TestBulk(t *testing.T) {
	address := bulkServer(t)
	for _, n := range []int64{0, 1, block, 5<<20 + 3} {
		for name, f := range map[string]func(context.Context, DialFunc, string, int64, uint64) (Transfer, error){"Upload": Upload, "Download": Download} {
			got, err := f(context.Background(), nil, address, n, 7)
			if err != nil || got.Bytes != n || got.Took < got.LongestPause {
				t.Errorf("%s of %d: %+v, %v", name, n, got, err)
			}
		}
	}
}

func TestBulkCommands(t *testing.T) {
	conn, err := net.Dial("tcp", bulkServer(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "put 3\nabcget 8 1\nput 0\nhello\n")
	got, err := io.ReadAll(conn)
	stream := make([]byte, 8)
	NewStream(1).Read(stream)
	want := "352441c2364b3fb7\n" + string(stream) +
		"0000000000000000\n"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestBulkDetects(t *testing.T) {
	flip := func(conn net.Conn) {
		in := bufio.NewReader(conn)
		line, _ := in.ReadString('\n')
		var n int64
		if _, err := fmt.Sscanf(line, "put %d", &n); err == nil {
			io.CopyN(io.Discard, in, n)
			fmt.Fprintf(conn, "%016x\n", 1)
			return
		}
		p := make([]byte, 1000)
		NewStream(7).Read(p)
		p[500] ^= 1
		conn.Write(p)
	}
	cut := func(conn net.Conn) { conn.Read(make([]byte, 10)) }
	said := map[string]string{"Upload": "the server has checksum", "Download": "byte 500 of the download"}
	for name, f := range map[string]func(context.Context, DialFunc, string, int64, uint64) (Transfer, error){"Upload": Upload, "Download": Download} {
		if _, err := f(context.Background(), nil, serve(t, flip), 1000, 7); err == nil || !strings.Contains(err.Error(), said[name]) {
			t.Errorf("%s of other bytes: %v", name, err)
		}
		if _, err := f(context.Background(), nil, serve(t, cut), 1<<20, 7); err == nil {
			t.Errorf("%s that ends early: no error", name)
		}
		ctx, cancel := context.WithCancel(context.Background())
		stuck := serve(t, func(conn net.Conn) { cancel(); io.Copy(io.Discard, conn) })
		if _, err := f(ctx, nil, stuck, 1<<20, 7); err == nil {
			t.Errorf("%s that is cancelled: no error", name)
		}
		cancel()
	}
}
