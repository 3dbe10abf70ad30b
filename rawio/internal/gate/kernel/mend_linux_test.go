package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestMendReleases: a program that somebody has taken away is attached again.
func TestMendReleases(t *testing.T) {
	for name, bpffs := range map[string]func(testing.TB) string{"pins": ownBPFFS, "no pins": func(testing.TB) string { return "" }} {
		t.Run(name, func(t *testing.T) {
			newLab(t)
			g := loadConfig(t, Config{MaxConns: 4, ID: "0123abcd", BPFFS: bpffs(t)})
			well := func() {
				t.Helper()
				if was, err := g.MendReleases(); was != nil || err != nil {
					t.Fatalf("all is well: %v, %v", was, err)
				}
			}
			well()
			must(t, g.WatchReleases())
			for range 2 {
				well()
				must(t, g.releases.at.Detach()) // of which the gate does not know
				if n := watchers(t); n != 0 {
					t.Fatalf("%d programs watch", n)
				}
				if was, err := g.MendReleases(); !errors.Is(was, gate.ErrUnwatched) || err != nil {
					t.Fatalf("%v, %v", was, err)
				}
				if n := watchers(t); n != 1 {
					t.Fatalf("%d programs watch", n)
				}
			}
			well()
			if name == "pins" {
				wantPins(t, g, releasePin)
			}
		})
	}
}

func wantPins(t *testing.T, g *Gate, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(g.Pins().Dir, name)); err != nil {
			t.Errorf("not pinned: %v", err)
		}
	}
}

// TestMendPins: pins that somebody has removed are made again, one or all, and the next
// engine adopts the gate by them.
func TestMendPins(t *testing.T) {
	bpffs := ownBPFFS(t)
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: childID, BPFFS: bpffs})
	must(t, err)
	must(t, g.Attach(l.a))
	must(t, g.WatchReleases())
	all, err := g.pins.list()
	must(t, err)
	if was, err := g.MendPins(); was != nil || err != nil {
		t.Fatalf("all is well: %v, %v", was, err)
	}
	remove := map[string]func() error{
		"directory": func() error { return os.RemoveAll(g.Pins().Dir) },
		"root":      func() error { return os.RemoveAll(filepath.Dir(g.Pins().Dir)) },
	}
	for _, name := range all {
		remove[name] = func() error { return os.Remove(filepath.Join(g.Pins().Dir, name)) }
	}
	for name, f := range remove {
		must(t, f())
		if was, err := g.MendPins(); !errors.Is(was, gate.ErrUnpinned) || err != nil {
			t.Errorf("%s: %v, %v", name, was, err)
		}
		if was, err := g.MendPins(); was != nil || err != nil {
			t.Errorf("%s, the second time: %v, %v", name, was, err)
		}
		wantPins(t, g, all...)
	}
	must(t, g.abandon())
	g = l.adopt(t, Config{ID: childID, BPFFS: bpffs})
	must(t, g.Close())
	if n := watchers(t); n != 0 {
		t.Errorf("%d programs watch", n)
	}
}
