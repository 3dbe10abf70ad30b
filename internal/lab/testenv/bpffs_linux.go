package testenv

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// BPFFS returns the path of a BPF file system of the test's own, which the processes
// that it starts can use, too. It is mounted nowhere, so it goes with the test's
// process, however that ends.
func BPFFS(t testing.TB) string {
	t.Helper()
	RequireRoot(t)
	fd, err := mountBPFFS()
	if err != nil {
		missing(t, fmt.Sprintf("needs a BPF file system: %v", err))
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
}

// NothingPinned checks that there are no pins in a BPF file system.
func NothingPinned(t testing.TB, bpffs string) {
	t.Helper()
	left, err := os.ReadDir(bpffs)
	if err != nil {
		t.Error(err)
	}
	for _, f := range left {
		if f.IsDir() { // the kernel's own are files
			t.Errorf("left behind in the BPF file system: %s", f.Name())
		}
	}
}

func mountBPFFS() (fd int, err error) {
	fsfd, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "mode", "0700"); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return -1, err
	}
	return unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
}
