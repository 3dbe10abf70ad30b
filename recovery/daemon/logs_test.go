package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/supervisor/output"
)

// logClient serves log on a socket and returns a client for it, which passes
// each text to got.
func logClient(t *testing.T, log *output.Log) func(r admin.Request, got func(string) error) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- admin.Serve(ctx, l, func(ctx context.Context, r admin.Request, w *admin.Writer) error {
			return sendLogs(ctx, log, r, w)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func(r admin.Request, got func(string) error) error {
		r.Command, r.Service = admin.Logs, "x"
		return admin.Do(t.Context(), path, r, func(m admin.Message) error {
			switch {
			case m.Missed > 0:
				return got(fmt.Sprintf("(%d)", m.Missed))
			case m.Line != nil:
				return got(m.Line.Text)
			}
			return nil
		})
	}
}

func TestSendLogs(t *testing.T) {
	log := output.NewLog(0)
	do := logClient(t, log)
	for i := range 300 { // more than are sent at once
		log.Append(output.Line{Text: fmt.Sprint(i)})
	}
	for n, want := range map[int]int{0: 0, 1: 1, 299: 299, 1000: 300, -1: 300} {
		var got []string
		err := do(admin.Request{Lines: n}, func(s string) error {
			got = append(got, s)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if len(got) != want || want > 0 && (got[want-1] != "299" || got[0] != fmt.Sprint(300-want)) {
			t.Errorf("%d lines: %q", n, got)
		}
	}
}

// TestFollowLogs: the end of the log is the end of who follows it.
func TestFollowLogs(t *testing.T) {
	log := output.NewLog(0)
	do := logClient(t, log)
	log.Append(output.Line{Text: "old"})
	log.Append(output.Line{Text: "a"})
	var got []string
	err := do(admin.Request{Lines: 1, Follow: true}, func(s string) error {
		got = append(got, s)
		switch s {
		case "a":
			log.Append(output.Line{Text: "b"})
		case "b":
			log.Append(output.Line{Text: "c"})
			log.Close()
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "a b c" {
		t.Error(got, err)
	}
}

// TestFollowSlowly: a client that does not read misses lines and is told so;
// nobody has waited for it.
func TestFollowSlowly(t *testing.T) {
	log := output.NewLog(64 << 10)
	do := logClient(t, log)
	text := strings.Repeat("x", 1000)
	log.Append(output.Line{Text: "first"})
	missed := ""
	enough := errors.New("enough")
	err := do(admin.Request{Lines: -1, Follow: true}, func(s string) error {
		switch {
		case s == "first": // more than socket and log hold, at once
			for range 4000 {
				log.Append(output.Line{Text: text})
			}
			log.Append(output.Line{Text: "last"})
		case strings.HasPrefix(s, "("):
			missed = s
		case s == "last":
			return enough
		}
		return nil
	})
	if err != enough || missed == "" {
		t.Errorf("%v; missed %q", err, missed)
	}
}
