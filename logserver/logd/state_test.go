package logd

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
)

// TestStateMissesNoReads: reads that are recorded while a State is being made are in it, or in one
// that follows.
func TestStateMissesNoReads(t *testing.T) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id, err := store.Open(logserver.Meta{Service: "s"})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{store: store}
	x := &session{srv: s}
	x.init()
	c := &conn{id: id, owner: x}
	c.mu.Lock()
	c.news()

	// The connection's lock goes from hand to hand here: who has waited for it for more than a
	// millisecond is served in turn (sync.Mutex). So the reads are recorded
	// when the State has it for the first time, and before it has it again.
	told, recorded := make(chan int64, 1), make(chan bool)
	go func() {
		state, _ := s.state(c)
		told <- state.ReadEnd
	}()
	wait(t, 1)
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.readEnd, c.readSent = 7, 7
		c.news()
		close(recorded)
	}()
	wait(t, 2)
	time.Sleep(2 * time.Millisecond)
	c.mu.Unlock()
	c.mu.Lock()
	wait(t, 2)
	c.mu.Unlock()

	<-recorded
	if end := <-told; !c.dirty && end != 7 {
		t.Errorf("the reads end at 7, and the peer was told %d for good", end)
	}
}

// wait returns when n goroutines wait for a lock of this test's.
func wait(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		waiting := 0
		for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
			if bytes.Contains(g, []byte("[sync.Mutex.Lock]")) && bytes.Contains(g, []byte("TestStateMissesNoReads.")) {
				waiting++
			}
		}
		if waiting == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d:\n%s", waiting, n, buf)
		}
	}
}
