package logtest

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// testUpcallReenters calls the log from inside its upcalls.
func testUpcallReenters(t *testing.T, open Factory) {
	l := open(t, Limits{QuotaTotal: 4 << 20, LowSpace: 1 << 20})
	defer l.Close()
	var deleted atomic.Int32
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if u.Tag != Example(1).Tag {
				t.Errorf("upcall with tag %d", u.Tag)
			}
			if _, _, err := l.Length(u.ID); err == nil && u.Stable > 0 {
				if l.Delete(u.ID) == nil {
					deleted.Add(1)
				}
			}
		}
	})
	l.SetStatusUpcall(func(logserver.Status) { l.Status(); l.NumActive(); l.Usage() })
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id, err := l.Open(Example(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write(id, 0, make([]byte, 2<<20)); err != nil && !isNoConn(err) {
		t.Fatal(err)
	}
	soon(t, "upcall", func() bool { return deleted.Load() > 0 })
}

// testConcurrent writes, reads and discards many connections at once.
func testConcurrent(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	const conns, size, step = 8, 300_000, 1460
	var wg sync.WaitGroup
	for n := range conns {
		id := b.open(n)
		data := pattern(size, uint64(n), 0)
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			for off := 0; off < size; off += step {
				p := data[off:min(off+step, size)]
				if n, err := b.Write(id, int64(off), p); err != nil || n != len(p) {
					t.Errorf("Write of %d bytes: %d, %v", len(p), n, err)
					return
				}
			}
		})
		wg.Go(func() {
			p := make([]byte, 50_000)
			for last := false; ; {
				from, end, err := b.Length(id)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := b.Read(id, p, from)
				if err != nil || !bytes.Equal(p[:got], data[from:from+int64(got)]) || int64(got) < min(end-from, int64(len(p))) {
					t.Errorf("Read at %d: %d bytes, %v, or other ones", from, got, err)
					return
				}
				from += int64(got) / 2
				if err := b.Rebase(id, logserver.Base{In: from}); err != nil {
					t.Errorf("Rebase: %v", err)
					return
				}
				if last && got < 2 {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					b.Active(0, conns)
					logserver.Touch(b.Log, id)
					b.Room(id)
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	b.await("all data", func() bool {
		for _, n := range b.stable {
			if n < size {
				return false
			}
		}
		return true
	})
}

// testReadWhileDeleted reads data while it goes: each Read returns what was
// there, or an error, never wiped or foreign bytes.
func testReadWhileDeleted(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	data := pattern(1<<20, 1, 0)
	other := bytes.Repeat([]byte{0xee}, len(data))
	for round := range 20 {
		id := b.open(2 * round)
		b.write(id, 0, data)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				p := make([]byte, len(data))
				for {
					n, err := b.Read(id, p, 0)
					if errors.Is(err, logserver.ErrNoConn) || errors.Is(err, logserver.ErrDiscarded) {
						return
					}
					if err != nil || n != len(data) || !bytes.Equal(p, data) {
						t.Errorf("Read: %d bytes, %v, or other ones", n, err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			if err := b.Rebase(id, logserver.Base{In: 1<<20 - 1}); err != nil {
				t.Error(err)
			}
			if err := b.Delete(id); err != nil {
				t.Error(err)
			}
			// Takes the memory that has become free.
			id, err := b.Open(Example(2*round + 1))
			if err == nil {
				_, err = b.Write(id, 0, other)
			}
			if err != nil || b.Delete(id) != nil {
				t.Errorf("second connection: %v", err)
			}
		})
		wg.Wait()
	}
}

// testCloseWhileBusy closes the log while it is being used.
func testCloseWhileBusy(t *testing.T, open Factory) {
	for round := range 10 {
		b := start(t, open, Limits{})
		var wg sync.WaitGroup
		for n := range 4 {
			id := b.open(n)
			data := pattern(100_000, uint64(n), 0)
			wg.Go(func() {
				for off := int64(0); ; runtime.Gosched() {
					n, err := b.Write(id, off, data)
					off += int64(n)
					if err == nil || errors.Is(err, logserver.ErrQuota) {
						var end int64
						if _, end, err = b.Length(id); err == nil {
							err = b.Rebase(id, logserver.Base{In: end})
						}
					}
					if err != nil {
						b.only(err, logserver.ErrClosed)
						return
					}
				}
			})
			wg.Go(func() {
				p := make([]byte, 200_000)
				for ; ; runtime.Gosched() { // or closing would wait for its turn
					from, _, err := b.Length(id)
					if err == nil {
						_, err = b.Read(id, p, from)
					}
					if err != nil && !errors.Is(err, logserver.ErrDiscarded) {
						b.only(err, logserver.ErrClosed)
						return
					}
				}
			})
		}
		for range round * 100 {
			runtime.Gosched()
		}
		if !logserver.IsImmediate(b.Log) {
			time.Sleep(time.Duration(round) * time.Millisecond)
		}
		b.must(b.Close())
		wg.Wait()
	}
}

// only reports an error that is not the wanted one, from any goroutine. A
// connection may be gone a moment before the log says that it is closed.
func (b *bed) only(err, want error) {
	if !errors.Is(err, want) && !isNoConn(err) {
		b.Errorf("error is %v, want %v", err, want)
	}
}
