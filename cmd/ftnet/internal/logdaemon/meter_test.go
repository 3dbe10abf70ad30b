package logdaemon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
)

// lazy is a log that tells of what is stable only when it is asked to.
type lazy struct {
	*memory.Log
	up   func([]logserver.Upcall)
	told []logserver.Upcall
}

func (l *lazy) SetUpcall(f func([]logserver.Upcall)) {
	l.up = f
	l.Log.SetUpcall(func(list []logserver.Upcall) { l.told = append(l.told, list...) })
}

func (l *lazy) tell() { l.up(l.told); l.told = nil }

func newMemory(t *testing.T) *memory.Log {
	t.Helper()
	m, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T, l logserver.Log) logserver.ConnID {
	t.Helper()
	id, err := l.Open(logserver.Meta{Service: "s", Flow: logserver.Flow{
		Client: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:2")}})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestMeter(t *testing.T) {
	store := &lazy{Log: newMemory(t)}
	m := newMeter(store, func(logserver.Status) {})
	told := 0
	m.SetUpcall(func(list []logserver.Upcall) { told += len(list) })
	a, b := open(t, m), open(t, m)
	store.tell()
	write := func(id logserver.ConnID, off int64, n int) {
		t.Helper()
		if _, err := m.Write(id, off, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	write(a, 0, 10)
	write(b, 0, 10) // not a sample: there is one
	time.Sleep(5 * time.Millisecond)
	store.tell()
	if got := m.latency(); got.Samples != 1 || got.P50 < 0.005 || got.P50 > 5 || got.P99 != got.P50 {
		t.Errorf("%+v", got)
	}
	write(b, 10, 10)
	if err := m.Delete(b); err != nil {
		t.Fatal(err)
	}
	write(a, 10, 10) // the sample that cannot come is given up
	store.tell()
	if got := m.latency(); got.Samples != 2 || m.bytes.Load() != 40 {
		t.Errorf("%+v, %d bytes", got, m.bytes.Load())
	}
	if told < 5 {
		t.Errorf("%d upcalls", told)
	}
	if _, err := m.Write(a, 100, []byte("x")); err == nil || m.armed.Load() {
		t.Errorf("%v", err)
	}
}

func TestMeterKeepsTheNewest(t *testing.T) {
	m := newMeter(newMemory(t), func(logserver.Status) {})
	for i := range 3 * kept {
		m.add(time.Duration(i))
	}
	if got := m.latency(); got.Samples != kept || got.P50 < float64(2*kept)/1e9 {
		t.Errorf("%+v", got)
	}
}

// TestMeterSharesTheStatus: the server and the daemon both hear of it.
func TestMeterSharesTheStatus(t *testing.T) {
	store, err := memory.New(&memory.Config{QuotaTotal: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	own, other := 0, 0
	m := newMeter(store, func(logserver.Status) { own++ })
	m.SetStatusUpcall(func(logserver.Status) { other++ })
	if err := m.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id := open(t, m)
	_, _ = m.Write(id, 0, make([]byte, 1<<20-1<<12))
	if own != 1 || other != 1 || m.Status() != logserver.LowSpace {
		t.Errorf("%d, %d, %v", own, other, m.Status())
	}
	m.SetStatusUpcall(nil)
	if err := m.Delete(id); err != nil {
		t.Fatal(err)
	}
	if own != 2 || other != 1 {
		t.Errorf("%d, %d", own, other)
	}
}
