package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

func start(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go serve(ln)
	return ln.Addr().String()
}

func TestProtocol(t *testing.T) {
	conn, err := net.Dial("tcp", start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "1\nx\n-3\n\n9223372036854775807\nunfinished")
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	// The hashes were computed by another FNV-1a implementation.
	want := `1 1 07f8bc07b4ba5002
2 1 7b1eedf1c827008c
3 -2 99cd9f4b7a19c39e
4 -2 7229414079c7547c
5 9223372036854775805 2e2357684e53601e
`
	if err != nil || string(got) != want {
		t.Errorf("replies are\n%s%v, want\n%s", got, err, want)
	}
}

func TestLongLine(t *testing.T) {
	conn, err := net.Dial("tcp", start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, strings.Repeat("a", maxLine+1))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes come back", n)
	}
}

// TestWorkload lets the verifying client check the server, as the tests with
// crashes do.
func TestWorkload(t *testing.T) {
	client := workload.Counter{Address: start(t), Conns: 10, Lines: 500, Pipeline: 7, Redials: 2}
	report := client.Run(context.Background())
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	if report.Lines != 10*500*3 || report.Conns != 30 || report.LongestPause <= 0 {
		t.Errorf("%+v", report)
	}
}
