package logserver

import (
	"bytes"
	"net/netip"
	"testing"
)

func newTestMemory(t testing.TB, config *MemoryConfig) *Memory {
	m, err := NewMemory(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return m
}

func testConn(t testing.TB, m *Memory) ConnID {
	id, err := m.Open(Meta{
		Service:       "counter",
		Flow:          Flow{netip.MustParseAddrPort("198.51.100.7:40000"), netip.MustParseAddrPort("192.0.2.1:7000")},
		SYNOptions:    make([]byte, 20),
		SYNACKOptions: make([]byte, 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestWipe looks for a secret in all of the arena's memory after the
// connection that sent it is gone.
func TestWipe(t *testing.T) {
	secret := []byte("correct horse battery staple")
	for _, test := range []struct {
		name string
		size int
		free func(m *Memory, id ConnID, size int64) error
	}{
		{"Delete", 2000, func(m *Memory, id ConnID, _ int64) error { return m.Delete(id) }},
		{"DeleteLarge", 5 << 20, func(m *Memory, id ConnID, _ int64) error { return m.Delete(id) }},
		{"Discard", 5 << 20, func(m *Memory, id ConnID, size int64) error { return m.Discard(id, size) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newTestMemory(t, nil)
			id := testConn(t, m)
			data := bytes.Repeat(secret, test.size/len(secret))
			if err := m.Write(id, 0, data); err != nil {
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

func holds(m *Memory, what []byte) bool {
	m.arena.mu.Lock()
	defer m.arena.mu.Unlock()
	for _, area := range m.arena.areas {
		if bytes.Contains(area[:16<<20], what) { // all that these tests can use
			return true
		}
	}
	return false
}
