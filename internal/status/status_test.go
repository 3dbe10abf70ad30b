package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) (string, net.Listener) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

func TestServeAndFetch(t *testing.T) {
	path, l := listen(t)
	want := &Document{
		Version: Version,
		Time:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Engine:  Engine{ID: "00c0ffee", Command: []string{"counter", "-x"}},
		Process: Process{State: ProcessRunning, PID: 42, Restarts: 3},
		Connections: []Connection{{ID: 7, Client: "192.0.2.1:4000", Protection: Unprotected, Reason: "quota",
			BytesIn: 1 << 40, HeldACK: true}},
		Programs: []Program{}, // nil is sent as this
		Services: []Service{},
		Gate:     Gate{Reasons: map[string]uint64{"lowered": 2}},
	}
	done := make(chan error)
	sent := *want
	sent.Programs, sent.Services = nil, nil
	go func() { done <- Serve(l, func() *Document { return &sent }) }()
	for range 2 {
		got, err := Fetch(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCompare: a comparison is its name in the document.
func TestCompare(t *testing.T) {
	for _, want := range []policy.Compare{policy.CompareStrict, policy.CompareLength} {
		text, err := json.Marshal(Service{Compare: want})
		var got Service
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if part := fmt.Sprintf(`"compare":%q`, want); err != nil || got.Compare != want || !strings.Contains(string(text), part) {
			t.Errorf("%s, %v; want %s in it", text, err, part)
		}
	}
}

// exhausted is a listener of a process that has no descriptors left for a while.
type exhausted struct {
	net.Listener
	times int
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.times > 0 {
		l.times--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestServeExhausted: the page is there again when the process has descriptors again.
func TestServeExhausted(t *testing.T) {
	path, l := listen(t)
	done := make(chan error, 1)
	go func() { done <- Serve(&exhausted{l, 3}, func() *Document { return &Document{Version: Version} }) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := Fetch(ctx, path); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFetchFails(t *testing.T) {
	t.Run("cut off", func(t *testing.T) {
		path, l := listen(t)
		go func() {
			c, err := l.Accept()
			if err == nil {
				io.WriteString(c, `{"version":`)
				c.Close()
			}
		}()
		if _, err := Fetch(t.Context(), path); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		path, l := listen(t)
		accepted := make(chan net.Conn, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			c, _ := l.Accept()
			cancel()
			accepted <- c
		}()
		if _, err := Fetch(ctx, path); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		(<-accepted).Close()
	})
	t.Run("nobody", func(t *testing.T) {
		if _, err := Fetch(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
			t.Error("no error")
		}
	})
}
