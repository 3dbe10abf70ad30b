package remote_test

import (
	"bytes"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// openDisk opens a log in small files: each new log fills some beforehand.
func openDisk(t testing.TB, dir string, limits logtest.Limits) *disk.Log {
	t.Helper()
	config := &disk.Config{QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace, MinFree: 1}
	if limits.QuotaTotal == 0 {
		config.Segment = 4 << 20
	}
	l, err := disk.Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newDiskLab(t testing.TB, dir string, limits logtest.Limits) *lab {
	t.Helper()
	return startLab(t, &lab{
		TB: t, store: openDisk(t, dir, limits),
		server: logd.Config{Insecure: true}, client: remote.Config{Insecure: true},
	})
}

func TestSuiteDisk(t *testing.T) {
	t.Parallel() // both wait for the device, most of the time
	logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
		b := newDiskLab(t, t.TempDir(), limits)
		return labLog{b.open(), b}
	})
}

// TestPersistentDisk: what a client has left another one finds.
func TestPersistentDisk(t *testing.T) {
	t.Parallel()
	labs := map[string]*lab{}
	logtest.RunPersistent(t, func(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
		b := labs[dir]
		if b == nil {
			b = newDiskLab(t, dir, limits)
			labs[dir] = b
		}
		return b.open()
	})
}

// TestRestartDisk restarts server and store under load.
func TestRestartDisk(t *testing.T) {
	dir := t.TempDir()
	b := newDiskLab(t, dir, logtest.Limits{})
	l := b.open()
	must(t, l.RegisterService(0))
	const conns, size = 10, 300_000
	ids := make([]logserver.ConnID, conns)
	for n := range ids {
		var err error
		ids[n], err = l.Open(logtest.Example(n))
		must(t, err)
	}
	for off := int64(0); off < size; off += 1000 {
		for n, id := range ids {
			_, err := l.Write(id, off, logtest.Pattern(make([]byte, 1000), uint64(n), off))
			must(t, err)
			must(t, l.WriteReads(id, 1000))
		}
		if off%50_000 == 25_000 {
			b.stop()
			must(t, b.store.Close())
			b.store = openDisk(t, dir, logtest.Limits{})
			b.server.Store = b.store
			b.start()
		}
	}
	must(t, l.Close())
	for n, id := range ids {
		got := make([]byte, size+1)
		k, err := b.store.Read(id, got, 0)
		if err != nil || !bytes.Equal(got[:k], logtest.Pattern(make([]byte, size), uint64(n), 0)) {
			t.Errorf("connection %d: the store has %d bytes, %v, or others", n, k, err)
		}
		runs, err := b.store.Reads(id)
		count := uint32(0)
		for _, r := range runs {
			if count += r.Count; r.Length != 1000 {
				t.Errorf("connection %d: reads of %d bytes", n, r.Length)
			}
		}
		if err != nil || count != size/1000 {
			t.Errorf("connection %d: %d reads, %v", n, count, err)
		}
	}
}
