package memory

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

func newTestMemory(t testing.TB, config *Config) *Log {
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return m
}

func testConn(t testing.TB, m *Log) logserver.ConnID {
	id, err := m.Open(logserver.Meta{
		Service:   "counter",
		Flow:      logserver.Flow{Client: netip.MustParseAddrPort("198.51.100.7:40000"), Server: netip.MustParseAddrPort("192.0.2.1:7000")},
		Handshake: make([]byte, 40),
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestWipeByItself: large data is gone some time after its connection, also if
// the log is written to all the time.
func TestWipeByItself(t *testing.T) {
	for _, busy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			secret := []byte("correct horse battery staple")
			m := newTestMemory(t, nil)
			id, other := testConn(t, m), testConn(t, m)
			if _, err := m.Write(id, 0, bytes.Repeat(secret, 5<<20/len(secret))); err != nil {
				t.Fatal(err)
			}
			if err := m.Delete(id); err != nil {
				t.Fatal(err)
			}
			if !holds(m, secret) {
				t.Error("5 MiB are wiped by who deletes them")
			}
			for off := range int64(20) {
				time.Sleep(wipePeriod)
				if busy {
					m.Write(other, off, []byte{0})
				}
			}
			synctest.Wait()
			if holds(m, secret) {
				t.Errorf("busy %v: the secret is still in memory", busy)
			}
		})
	}
}

// TestWipeAtOnce: what waits to be wiped is bounded.
func TestWipeAtOnce(t *testing.T) {
	m := newTestMemory(t, &Config{Reserve: 1 << 20})
	id := testConn(t, m)
	if _, err := m.Write(id, 0, make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := m.Delete(id); err != nil {
		t.Fatal(err)
	}
	for {
		m.wiper.mu.Lock()
		left := m.wiper.bytes
		m.wiper.mu.Unlock()
		if left <= 1<<20 {
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d bytes wait", left)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestReuseUnwiped: memory that was not wiped serves the next connection, which
// reads only its own data there, and is wiped after it.
func TestReuseUnwiped(t *testing.T) {
	secret := []byte("correct horse battery staple")
	m := newTestMemory(t, nil)
	id := testConn(t, m)
	if _, err := m.Write(id, 0, bytes.Repeat(secret, 5<<20/len(secret))); err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(id); err != nil {
		t.Fatal(err)
	}
	m.wiper.mu.Lock()
	before := m.wiper.bytes
	m.wiper.mu.Unlock()
	id = testConn(t, m)
	data := make([]byte, 700<<10) // some of a chunk of 1 MiB
	if _, err := m.Write(id, 0, data); err != nil {
		t.Fatal(err)
	}
	m.wiper.mu.Lock()
	if after := m.wiper.bytes; after >= before {
		t.Errorf("%d bytes wait to be wiped, %d before: nothing was used again", after, before)
	}
	m.wiper.mu.Unlock()
	got := make([]byte, 1<<20)
	if n, err := m.Read(id, got, 0); err != nil || !bytes.Equal(got[:n], data) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := m.Delete(id); err != nil {
		t.Fatal(err)
	}
	m.wiper.wait()
	if holds(m, secret) {
		t.Error("the secret is still in memory")
	}
}

// TestLentIsWiped: what a borrower has put beyond the end is wiped, also when
// the connection is deleted before the loan is returned.
func TestLentIsWiped(t *testing.T) {
	secret := []byte("correct horse battery staple")
	m := newTestMemory(t, nil)
	id := testConn(t, m)
	if _, err := m.Write(id, 0, make([]byte, 300)); err != nil {
		t.Fatal(err)
	}
	loan := m.Lend(id, len(secret))
	if err := m.Delete(id); err != nil {
		t.Fatal(err)
	}
	copy(loan.Bytes(), secret)
	if !holds(m, secret) {
		t.Fatal("the search does not find what is there")
	}
	loan.Return()
	m.wiper.wait()
	if holds(m, secret) {
		t.Error("the secret is still in memory")
	}
}

// TestWipe looks for a secret in all of the arena's memory after the
// connection that sent it is gone.
func TestWipe(t *testing.T) {
	secret := []byte("correct horse battery staple")
	for _, test := range []struct {
		name string
		size int
		free func(m *Log, id logserver.ConnID, size int64) error
	}{
		{"Delete", 2000, func(m *Log, id logserver.ConnID, _ int64) error { return m.Delete(id) }},
		{"DeleteLarge", 5 << 20, func(m *Log, id logserver.ConnID, _ int64) error { return m.Delete(id) }},
		{"Discard", 5 << 20, func(m *Log, id logserver.ConnID, size int64) error { return m.Rebase(id, logserver.Base{In: size}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newTestMemory(t, nil)
			id := testConn(t, m)
			data := bytes.Repeat(secret, test.size/len(secret))
			if _, err := m.Write(id, 0, data); err != nil {
				t.Fatal(err)
			}
			if !holds(m, secret) {
				t.Fatal("the search does not find what is there")
			}
			if err := test.free(m, id, int64(len(data))); err != nil {
				t.Fatal(err)
			}
			m.wiper.wait()
			if holds(m, secret) {
				t.Error("the secret is still in memory")
			}
		})
	}
}

func holds(m *Log, what []byte) bool {
	m.arena.mu.Lock()
	defer m.arena.mu.Unlock()
	for _, area := range m.arena.areas {
		if bytes.Contains(area[:16<<20], what) { // all that these tests can use
			return true
		}
	}
	return false
}
