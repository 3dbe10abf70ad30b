package remote_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func soon(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 20 s", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin opens a connection that has this much stable data.
func begin(t testing.TB, l *remote.Log, n int, size int) logserver.ConnID {
	t.Helper()
	must(t, l.RegisterService(0))
	id, err := l.Open(logtest.Example(n))
	must(t, err)
	write(t, l, id, 0, size)
	return id
}

// write appends and waits until it is stable.
func write(t testing.TB, l *remote.Log, id logserver.ConnID, off int64, size int) {
	t.Helper()
	n, err := l.Write(id, off, logtest.Pattern(make([]byte, size), 1, off))
	if err != nil || n != size {
		t.Fatalf("Write of %d bytes took %d, %v", size, n, err)
	}
	stable(t, l, id, off+int64(size))
}

func stable(t testing.TB, l *remote.Log, id logserver.ConnID, want int64) {
	t.Helper()
	soon(t, fmt.Sprint(want, " bytes are stable"), func() bool {
		_, end, err := l.Length(id)
		must(t, err)
		return end >= want
	})
}

// statuses gathers what a status upcall tells.
type statuses struct {
	mu   sync.Mutex // guards list
	list []logserver.Status
}

func (s *statuses) add(status logserver.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, status)
}

func (s *statuses) has(flag logserver.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, func(t logserver.Status) bool { return t&flag != 0 })
}

func (s *statuses) last() logserver.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return logserver.OK
	}
	return s.list[len(s.list)-1]
}
