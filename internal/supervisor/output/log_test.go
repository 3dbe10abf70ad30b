package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func (l *Log) add(texts ...string) {
	for _, text := range texts {
		l.Append(Line{Stream: Stdout, Text: text})
	}
}

func texts(lines []Line) (out []string) {
	for _, l := range lines {
		out = append(out, l.Text)
	}
	return out
}

func TestLogKeepsTheNewest(t *testing.T) {
	l := NewLog(3 * (lineCost + 10))
	for i := range 5 {
		l.add(fmt.Sprintf("line %5d", i)) // 10 bytes
	}
	lines, next, missed := l.Read(nil, 0, 100)
	if diff := cmp.Diff([]string{"line     2", "line     3", "line     4"}, texts(lines)); diff != "" || next != 5 || missed != 2 {
		t.Errorf("next %d, missed %d, lines (-want +got):\n%s", next, missed, diff)
	}
	// One that takes all the room by itself is kept all the same.
	l.add(strings.Repeat("x", 1000))
	if lines, _, _ := l.Read(nil, 5, 100); len(lines) != 1 || len(lines[0].Text) != 1000 {
		t.Error(texts(lines))
	}
}

func TestLogRead(t *testing.T) {
	l := NewLog(0)
	l.add("a", "b", "c")
	for _, tt := range []struct {
		from  uint64
		limit int
		want  string
		next  uint64
	}{
		{0, 10, "a b c", 3}, {1, 1, "b", 2}, {3, 10, "", 3},
		{9, 10, "", 3}, // nobody has been told of a line 9
	} {
		lines, next, missed := l.Read(nil, tt.from, tt.limit)
		if got := strings.Join(texts(lines), " "); got != tt.want || next != tt.next || missed != 0 {
			t.Errorf("Read(%d, %d): %q, next %d, missed %d", tt.from, tt.limit, got, next, missed)
		}
	}
	for n, want := range map[int]string{0: "", 2: "b c", 3: "a b c", 99: "a b c", -1: "a b c"} {
		lines, next := l.Tail(n)
		if got := strings.Join(texts(lines), " "); got != want || next != 3 {
			t.Errorf("Tail(%d): %q, next %d", n, got, next)
		}
	}
}

func TestLogWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog(0)
		got := make(chan error)
		wait := func(ctx context.Context, n uint64) { got <- l.Wait(ctx, n) }
		go wait(t.Context(), 1)
		l.add("a")
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("line 1 does not exist, but: %v", err)
		default:
		}
		l.add("b")
		if err := <-got; err != nil {
			t.Error(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go wait(ctx, 2)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}

		go wait(t.Context(), 2)
		l.Close()
		if err := <-got; err != ErrClosed {
			t.Error(err)
		}
		l.add("late")
		if err := l.Wait(t.Context(), 1); err != nil { // what is there can be read
			t.Error(err)
		}
		if lines, _, _ := l.Read(nil, 0, 10); len(lines) != 2 {
			t.Error(texts(lines))
		}
	})
}

func TestForward(t *testing.T) {
	l := NewLog(0)
	l.add("a", "b")
	l.Close()
	var b bytes.Buffer
	if err := Forward(t.Context(), l, "redis | ", &b); err != nil || b.String() != "redis | a\nredis | b\n" {
		t.Errorf("%q %v", b.String(), err)
	}
}

// stuck is a writer that takes nothing until it is let go.
type stuck struct {
	entered, release chan struct{}
	once             sync.Once
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered); <-s.release })
	return s.Buffer.Write(p)
}

// TestForwardSlow: what the writer cannot take in time is counted, and nobody
// waits for it.
func TestForwardSlow(t *testing.T) {
	l := NewLog(10 * (lineCost + 10))
	w := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	done := make(chan error)
	l.add("the first")
	go func() { done <- Forward(t.Context(), l, "", w) }()
	<-w.entered
	for i := range 100 {
		l.add(fmt.Sprintf("line %5d", i))
	}
	l.Close()
	close(w.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := strings.Split(w.String(), "\n")
	if len(got) != 13 || got[1] != "(90 lines lost)" || got[2] != "line    90" || got[11] != "line    99" {
		t.Errorf("%q", got)
	}
}

// broken fails as often as it is told to.
type broken struct {
	fails int
	bytes.Buffer
}

func (b *broken) Write(p []byte) (int, error) {
	if b.fails > 0 {
		b.fails--
		return 0, io.ErrClosedPipe
	}
	return b.Buffer.Write(p)
}

// TestForwardFails: who reads has gone and comes back. What was written meanwhile is
// counted.
func TestForwardFails(t *testing.T) {
	l := NewLog(0)
	w := &broken{fails: 2}
	for i := range 2*forwardLines + 1 {
		l.add(fmt.Sprint(i))
	}
	l.Close()
	if err := Forward(t.Context(), l, "a | ", w); err != nil || w.String() != "a | (512 lines lost)\na | 512\n" {
		t.Errorf("%q %v", w.String(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Forward(ctx, NewLog(0), "", w); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
