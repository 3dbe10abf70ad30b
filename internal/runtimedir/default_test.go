package runtimedir

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody runs f on a thread of a user who is not root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534)
		if errno == 0 {
			f()
			done <- nil
			return
		}
		done <- errno
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestOtherUser: one who may not use root's directory has another, or is told what
// to do.
func TestOtherUser(t *testing.T) {
	top := t.TempDir()
	for dir := top; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	roots, own := filepath.Join(top, "roots"), filepath.Join(top, "own")
	for dir, mode := range map[string]fs.FileMode{roots: 0o555, own: 0o777} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	asNobody(t, func() {
		_, err := Create(roots)
		if err == nil || !strings.Contains(err.Error(), roots+" is not for user") || !strings.Contains(err.Error(), "--runtime-dir") {
			t.Errorf("error is %v", err)
		}
		_, err = Create(filepath.Join(roots, "below"))
		if err == nil || !strings.Contains(err.Error(), "--runtime-dir") {
			t.Errorf("error is %v", err)
		}
		if got := Default(roots); got != roots {
			t.Error(got)
		}
	})
	t.Setenv("XDG_RUNTIME_DIR", own)
	asNobody(t, func() {
		for base, want := range map[string]string{
			roots: filepath.Join(own, "roots"), filepath.Join(roots, "ftnet"): filepath.Join(own, "ftnet"), own: own,
		} {
			if got := Default(base); got != want {
				t.Errorf("Default(%q) = %q, want %q", base, got, want)
			}
		}
		d, err := Create(Default(roots))
		if err != nil {
			t.Error(err)
			return
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 && Default(Base) != Base {
		t.Error("root's is elsewhere:", Default(Base))
	}
}
