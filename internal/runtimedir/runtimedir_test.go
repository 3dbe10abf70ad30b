package runtimedir

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const childEnv = "RUNTIMEDIR_TEST_BASE"

func TestMain(m *testing.M) {
	if base := os.Getenv(childEnv); base != "" {
		d, err := Create(base)
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(d.ID + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestLife(t *testing.T) {
	syscall.Umask(0o077) // must not matter
	base := filepath.Join(t.TempDir(), "ftnet")
	if got, err := List(base); err != nil || got != nil {
		t.Fatal(got, err)
	}
	if got, err := CleanStale(base, nil); err != nil || got != nil {
		t.Fatal(got, err)
	}
	d, err := Create(base)
	if err != nil {
		t.Fatal(err)
	}
	got, err := List(base)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{ID: d.ID, Path: d.Path, PID: os.Getpid(), Alive: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, mode := range map[string]fs.FileMode{NorthName("web"): 0o666, StatusSocket: 0o600, "admin.sock": 0o600} {
		l, err := d.Listen(name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		checkMode(t, filepath.Join(d.Path, name), mode)
	}
	checkMode(t, d.Path, 0o711)
	if ids, err := CleanStale(base, nil); err != nil || ids != nil {
		t.Error("cleaned a living engine:", ids, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if got, err := List(base); err != nil || len(got) != 0 {
		t.Error("left behind:", got, err)
	}
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
	}
}

// TestKilled: the directory of a killed engine is stale, that of a living one is not.
func TestKilled(t *testing.T) {
	base := t.TempDir()
	living, err := Create(base)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+base)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	if !Lives(base, id) || !locked(base, id) || !claimed(id) {
		t.Error("not alive")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if Lives(base, id) || locked(base, id) || claimed(id) {
		t.Error("alive after SIGKILL")
	}
	ids, err := CleanStale(base, nil)
	if diff := cmp.Diff([]string{id}, ids); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if !Lives(base, living.ID) || !locked(base, living.ID) || !claimed(living.ID) {
		t.Error("the living engine's directory is gone")
	}
	if err := living.Close(); err != nil || Lives(base, living.ID) {
		t.Error("alive after Close:", err)
	}
}

// TestClaimID: it lives while it is held, without a directory.
func TestClaimID(t *testing.T) {
	c, err := ClaimID()
	if err != nil {
		t.Fatal(err)
	}
	if !validID(c.ID) || !Lives(t.TempDir(), c.ID) {
		t.Errorf("%s does not live", c.ID)
	}
	if err := c.Close(); err != nil || Lives(t.TempDir(), c.ID) {
		t.Error("alive after Close:", err)
	}
}

// TestLivesElsewhere: one mark is enough: a directory stays while another process has its
// engine's id, and so does what an engine has whose directory is not below this base.
func TestLivesElsewhere(t *testing.T) {
	base := t.TempDir()
	d, err := Create(base)
	if err != nil {
		t.Fatal(err)
	}
	if !Lives(t.TempDir(), d.ID) {
		t.Error("by its id alone it does not live")
	}
	if err := d.Leave(); err != nil || Lives(base, d.ID) {
		t.Fatal("alive after its end:", err)
	}
	other, err := claim(d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := List(base); err != nil || len(list) != 1 || !list[0].Alive {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if ids, err := CleanStale(base, nil); err != nil || len(ids) > 0 {
		t.Errorf("removed: %v, %v", ids, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if ids, err := CleanStale(base, nil); err != nil || len(ids) != 1 {
		t.Errorf("removed: %v, %v", ids, err)
	}
}

// TestCreateAgainstClean: cleaning never takes a directory that is being made.
func TestCreateAgainstClean(t *testing.T) {
	base := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				d, err := Create(base)
				if err != nil {
					t.Error(err)
					return
				}
				if !Lives(base, d.ID) {
					t.Error("not alive")
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if ids, err := CleanStale(base, nil); err != nil || len(ids) > 0 {
					t.Error("cleaned", ids, err)
				}
			}
		})
	}
	wg.Wait()
}
