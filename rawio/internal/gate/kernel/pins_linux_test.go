package kernel

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// ownBPFFS is the test's own BPF file system, in which it must leave nothing.
func ownBPFFS(t testing.TB) string {
	path := testenv.BPFFS(t)
	t.Cleanup(func() { testenv.NothingPinned(t, path) })
	return path
}

// adopt adopts the gate without CAP_SYS_ADMIN.
func (l *lab) adopt(t *testing.T, config Config) (g *Gate) {
	t.Helper()
	must(t, l.withoutAdmin(t, func() (err error) { g, err = Adopt(config); return err }))
	if p := g.Pins(); p.Err != nil {
		t.Errorf("adopted: %+v", p)
	}
	wantPinned(t, config.BPFFS, g)
	return g
}

// wantPinned checks that exactly the pins are there of this gate.
func wantPinned(t *testing.T, bpffs string, g *Gate) {
	t.Helper()
	netns, err := netnsInode()
	must(t, err)
	dirs, err := os.ReadDir(filepath.Join(bpffs, "ftnet"))
	must(t, err)
	if len(dirs) != 1 || dirs[0].Name() != netns+"-"+g.config.ID || g.Pins().Dir != filepath.Join(bpffs, "ftnet", dirs[0].Name()) {
		t.Fatalf("pins in %v, want %s-%s; the gate says %s", dirs, netns, g.config.ID, g.Pins().Dir)
	}
	for _, dir := range []string{filepath.Dir(g.Pins().Dir), g.Pins().Dir} {
		info, err := os.Stat(dir)
		must(t, err)
		if info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v", dir, info.Mode())
		}
	}
	spec, err := bpf.LoadGate()
	must(t, err)
	delete(spec.Maps, bpf.GateMapFragmenting) // of the tap alone
	want := append(slices.Collect(maps.Keys(spec.Maps)), "namespace")
	for _, p := range g.progs.all() {
		id, err := programID(p)
		must(t, err)
		want = append(want, programName(id))
	}
	got, err := g.pins.list()
	must(t, err)
	got = slices.DeleteFunc(got, func(name string) bool { return name == releasePin })
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
}

// cleaned removes everything of dead engines.
func cleaned(t *testing.T, bpffs string) (ids []string) {
	t.Helper()
	_, err := cleanStale(func(string) bool { return false })
	must(t, err)
	left, err := findStalePins(bpffs)
	must(t, err)
	ids, err = removeStalePins(bpffs)
	must(t, err)
	if !slices.Equal(left, ids) {
		t.Errorf("left: %v, removed: %v", left, ids)
	}
	return ids
}

// TestPinned: a gate has its pins, alone, until it is closed.
func TestPinned(t *testing.T) {
	l := newLab(t)
	bpffs := ownBPFFS(t)
	must(t, MayPin(bpffs))
	if err := MayPin(t.TempDir()); !errors.Is(err, gate.ErrNoBPFFS) {
		t.Errorf("a directory that is no BPF file system: %v", err)
	}
	g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
	must(t, err)
	wantPinned(t, bpffs, g)
	must(t, g.Attach(l.a))
	must(t, g.WatchReleases())
	if ids := cleaned(t, bpffs); len(ids) > 0 {
		t.Errorf("pins of %v removed, which lives", ids)
	}
	if _, err := Adopt(Config{ID: "00000001", BPFFS: bpffs}); !errors.Is(err, errPinned) {
		t.Errorf("adopting from an engine that lives: %v", err)
	}
	wantPinned(t, bpffs, g)
	must(t, g.Close())
	if n := watchers(t); n != 0 {
		t.Errorf("%d programs still watch", n)
	}
	if _, err := os.Stat(filepath.Join(bpffs, "ftnet")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of pins is left: %v", err)
	}
}

// TestPinnedLayer3: the programs for packets without a link header are loaded when an
// interface has such, are pinned then, and are found by the engine that adopts the gate.
func TestPinnedLayer3(t *testing.T) {
	l, config := newLab(t), Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)}
	_, tun := newTun(t)
	g, err := Load(config)
	must(t, err)
	if n := len(g.progs.all()); n != 2 {
		t.Errorf("%d programs are loaded before anything is attached to", n)
	}
	must(t, g.Attach(l.a))
	must(t, g.Attach(tun))
	if n := len(g.progs.all()); n != 4 {
		t.Errorf("%d programs are loaded for two link types", n)
	}
	wantPinned(t, config.BPFFS, g)
	g.die(t)

	g = l.adopt(t, config)
	wantPinned(t, config.BPFFS, g)
	for _, ifindex := range []int{l.a, tun} {
		wantInstalled(t, ifindex, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
		if was, err := g.Mend(ifindex); was != nil || err != nil {
			t.Errorf("interface %d: %v, %v", ifindex, was, err)
		}
	}
	must(t, g.Close())
	wantInstalled(t, tun)
}

// TestCleanPins: pins of a dead engine are kept as long as its filters can be
// adopted with them.
func TestCleanPins(t *testing.T) {
	l := newLab(t)
	bpffs := ownBPFFS(t)
	left := func(want ...string) {
		t.Helper()
		ids, err := removeStalePins(bpffs)
		must(t, err)
		if !slices.Equal(ids, want) {
			t.Errorf("removed: %v, want %v", ids, want)
		}
	}
	left()
	g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
	must(t, err)
	must(t, l.withoutAdmin(t, func() error { return errors.Join(g.Attach(l.a), g.WatchReleases()) }))
	g.die(t)
	left()
	l.atClient(t, func() { left() })
	if n := watchers(t); n != 1 {
		t.Errorf("%d programs watch for the dead engine", n)
	}
	must(t, l.withoutAdmin(t, func() error {
		_, err := cleanStale(func(string) bool { return false })
		return err
	}))
	wantInstalled(t, l.a)
	l.atClient(t, func() { left() }) // the namespace is there
	left("00000001")
	awaitWatchers(t, func() int { return watchers(t) }, 0)
}

// TestPinsOutliveNamespace: pins whose filters went with their network namespace are
// removed from any other, and the program that watches releases with them.
func TestPinsOutliveNamespace(t *testing.T) {
	keepNamespace(t)
	bpffs := ownBPFFS(t)
	var netns uint64
	must(t, inNamespace(func() error {
		g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
		if err == nil {
			err = errors.Join(g.Attach(1), g.WatchReleases())
		}
		netns = g.netns
		g.die(t)
		return err
	}))
	if n := watchersOf(t, netns); n != 1 {
		t.Errorf("%d programs watch for the dead engine", n)
	}
	// Namespaces are taken down in the background.
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		ids, err := removeStalePins(bpffs)
		must(t, err)
		if slices.Equal(ids, []string{"00000001"}) {
			break
		}
		if len(ids) > 0 || time.Since(start) > time.Minute { // on a busy machine, too
			t.Fatalf("removed: %v", ids)
		}
	}
	awaitWatchers(t, func() int { return watchersOf(t, netns) }, 0)
}

// inNamespace runs f in a network namespace that ends with it.
func inNamespace(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends here.
		runtime.LockOSThread()
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

// TestPinsNotUsed: pins that are lost, or not to be trusted, are not used, whatever the
// privileges: the gate stays as it is, and the next engine loads one of its own, pinned if
// the place can be trusted.
func TestPinsNotUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, dir string)
		says   string
		pinned bool // the next one
	}{
		{"lost", func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Dir(dir))) }, "has left no pins", true},
		{"a map is lost", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "conns"))) }, "no map conns", true},
		{"a pin is no map", func(t *testing.T, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "program-*"))
			must(t, err)
			must(t, os.Remove(filepath.Join(dir, "conns")))
			must(t, os.Rename(names[0], filepath.Join(dir, "conns")))
		}, "conns", true},
		{"another user's directory", func(t *testing.T, dir string) { must(t, os.Chown(filepath.Dir(dir), 1, 1)) }, "belongs to user 1,", false},
		{"open to others", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Dir(dir), 0o770)) }, "open to other users", false},
		{"another user's pins", func(t *testing.T, dir string) { must(t, os.Chown(dir, 1, 1)) }, "belongs to user 1,", true},
		{"pins open to others", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o701)) }, "open to other users", true},
		{"a link", func(t *testing.T, dir string) {
			elsewhere := filepath.Join(dir, "..", "..", "elsewhere")
			must(t, os.Rename(dir, elsewhere))
			t.Cleanup(func() { must(t, os.RemoveAll(elsewhere)) })
			must(t, os.Symlink(elsewhere, dir))
		}, "is no directory", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			bpffs := ownBPFFS(t)
			g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
			must(t, err)
			dir := g.Pins().Dir
			must(t, g.Attach(l.a))
			g.die(t)
			c.spoil(t, dir)

			config := Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs}
			if _, err := Adopt(config); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("adopted: %v", err)
			}
			wantInstalled(t, l.a, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
			config.ID = "00000002"
			g, err = Load(config)
			must(t, err)
			if p := g.Pins(); (p.Err == nil) != c.pinned || !c.pinned && !errors.Is(p.Err, gate.ErrPins) {
				t.Errorf("pins of the next one: %+v", p)
			}
			if errors.Is(MayPin(bpffs), gate.ErrPins) == c.pinned {
				t.Errorf("MayPin: %v", MayPin(bpffs))
			}
			_, err = cleanStale(func(id string) bool { return id == "00000002" })
			must(t, err)
			must(t, g.Close())
			wantInstalled(t, l.a)
			must(t, os.RemoveAll(filepath.Join(bpffs, "ftnet")))
		})
	}
}

// TestPinsOfDyingEngine: the lock on the pins is waited for a while.
func TestPinsOfDyingEngine(t *testing.T) {
	l := newLab(t)
	bpffs := ownBPFFS(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
	must(t, err)
	must(t, g.Attach(l.a))
	dir, err := os.Open(g.Pins().Dir)
	must(t, err)
	defer dir.Close()
	g.die(t)
	must(t, flock(dir, unix.LOCK_EX))

	adopt := func() error {
		g, err = Adopt(Config{ID: "00000001", BPFFS: bpffs})
		return err
	}
	if err := l.withoutAdmin(t, adopt); !errors.Is(err, errPinned) {
		t.Errorf("adopting what is locked: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = flock(dir, unix.LOCK_UN) })
	must(t, l.withoutAdmin(t, adopt))
	must(t, g.Close())
}

// TestAdoptionCutShort: an engine that dies while it adopts a gate leaves one that
// can be adopted.
func TestAdoptionCutShort(t *testing.T) {
	l, config := newLab(t), Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)}
	g, err := Load(config)
	must(t, err)
	must(t, g.Attach(l.a))
	g.die(t)

	left, err := findGate(config.BPFFS, config.ID)
	must(t, err)
	g = &Gate{config: config.withDefaults()}
	must(t, g.load(left.maps))
	must(t, left.pins.addPrograms(g.progs.all()))
	must(t, g.replace(left.filters[0]))
	left.close()
	g.die(t)

	g = l.adopt(t, config)
	wantInstalled(t, l.a, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
	must(t, g.Close())
	wantInstalled(t, l.a)
}
