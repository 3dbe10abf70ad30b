package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// noMount checks that nothing is left where engines mount a BPF file system.
func noMount(t *testing.T, own string) {
	t.Helper()
	if _, err := os.Lstat(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", own, err)
	}
}

// ownMount is a place for one.
func ownMount(t *testing.T) string {
	testenv.RequireRoot(t)
	own := filepath.Join(t.TempDir(), "ftnet", "bpf")
	t.Cleanup(func() {
		noMount(t, own)
		for isBPFFS(own) == nil {
			must(t, unix.Unmount(own, unix.MNT_DETACH))
		}
	})
	return own
}

func open(t *testing.T, path, own, want string) *BPFFS {
	t.Helper()
	b, err := OpenBPFFS(path, own)
	must(t, err)
	if b.Path != want || FindBPFFS(path, own) != want {
		t.Errorf("opened %s, found %s, want %s", b.Path, FindBPFFS(path, own), want)
	}
	must(t, MayPin(b.Path))
	return b
}

// TestMountBPFFS: where the host has no BPF file system engines mount one. It outlives
// them while a gate is pinned in it, and goes with the last one.
func TestMountBPFFS(t *testing.T) {
	l, none, own := newLab(t), t.TempDir(), ownMount(t)
	first := open(t, none, own, own)
	second := open(t, none, own, own)
	must(t, first.Close())
	config := Config{MaxConns: 4, ID: "00000001", BPFFS: second.Path}
	g, err := Load(config)
	must(t, err)
	must(t, g.Attach(l.a))
	must(t, UnmountBPFFS(own)) // not while an engine uses it
	g.die(t)
	must(t, second.Close())
	must(t, UnmountBPFFS(own)) // nor while a dead one's pins are in it

	next := open(t, ownBPFFS(t), own, own) // also where the host has one by now
	g = l.adopt(t, config)
	must(t, g.Close())
	must(t, next.Close())
	noMount(t, own)
	must(t, next.Close())
	must(t, UnmountBPFFS(own))
}

// TestHostBPFFS: where the host has a BPF file system none is mounted.
func TestHostBPFFS(t *testing.T) {
	path, own := ownBPFFS(t), ownMount(t)
	must(t, open(t, path, own, path).Close())
	if err := isBPFFS(path); err != nil {
		t.Errorf("the host's: %v", err)
	}
}

// TestMountBPFFSCleaned: what is left of a dead engine goes with its pins.
func TestMountBPFFSCleaned(t *testing.T) {
	newLab(t)
	own := ownMount(t)
	b := open(t, "", own, own)
	g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: own})
	must(t, err)
	g.die(t)
	must(t, b.root.Close())
	if gone, err := RemoveStale(own, func(string) bool { return false }); err != nil || len(gone.Pins) != 1 {
		t.Errorf("removed %v, %v", gone, err)
	}
	must(t, UnmountBPFFS(own))
}

// TestMountBPFFSRefused: without the privilege, or where others have a hand in it, nothing is mounted
// or made.
func TestMountBPFFSRefused(t *testing.T) {
	l, none, own := newLab(t), t.TempDir(), ownMount(t)
	refused := func(err, want error) {
		t.Helper()
		if !errors.Is(err, gate.ErrNoBPFFS) || !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	refused(l.withoutAdmin(t, func() error { _, err := OpenBPFFS(none, own); return err }), fs.ErrPermission)
	noMount(t, filepath.Dir(own))
	must(t, os.Mkdir(filepath.Dir(own), 0o755))
	must(t, os.Symlink(none, own))
	_, err := OpenBPFFS(none, own)
	refused(err, gate.ErrPins)
	must(t, os.Remove(own))
}

// TestMountBPFFSAtOnce: engines that begin and end side by side have one file system.
func TestMountBPFFSAtOnce(t *testing.T) {
	none, own := t.TempDir(), ownMount(t)
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 20 {
				b, err := OpenBPFFS(none, own)
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				if err := MayPin(b.Path); err != nil {
					t.Errorf("pin: %v", err)
				}
				if err := b.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
	g.Wait()
}
