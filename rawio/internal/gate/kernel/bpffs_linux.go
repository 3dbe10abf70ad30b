package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// BPFFS is a BPF file system that gates are pinned in.
type BPFFS struct {
	// Path is where it is mounted: for Config.BPFFS.
	Path string

	root *os.File // keeps one that engines have mounted; nil: it is the host's
}

// OpenBPFFS opens the BPF file system at own, where an engine before has mounted one, else
// that at path. Where there is none either, it mounts one at own, which takes CAP_SYS_ADMIN
// in the mount namespace. What is pinned there outlives the engine, for the next one that
// has the same own. The error satisfies errors.Is with gate.ErrNoBPFFS.
//
// own is a directory that is made for it, in one that belongs to this process's user. Both
// are paths that differ.
func OpenBPFFS(path, own string) (*BPFFS, error) {
	for {
		if isBPFFS(own) != nil {
			none := isBPFFS(path)
			if none == nil {
				return &BPFFS{Path: path}, nil
			}
			if err := mountBPFFS(own); err != nil {
				return nil, fmt.Errorf("%w, and none can be mounted at %s: %w", none, own, err)
			}
		}
		if root, err := holdBPFFS(own); root != nil || err != nil {
			return &BPFFS{Path: own, root: root}, err
		}
	}
}

// holdBPFFS opens the root of what is mounted at own, so that nobody unmounts it; nil: the
// last engine that had it has just ended.
func holdBPFFS(own string) (*os.File, error) {
	unlock, err := lockParent(own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", gate.ErrNoBPFFS, err)
	}
	defer unlock()
	if isBPFFS(own) != nil {
		return nil, nil
	}
	root, err := os.Open(own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", gate.ErrNoBPFFS, err)
	}
	return root, nil
}

// FindBPFFS returns the path that OpenBPFFS would choose, and mounts nothing.
func FindBPFFS(path, own string) string {
	if isBPFFS(own) == nil {
		return own
	}
	return path
}

// Close gives the file system up. If this process has mounted it, or another engine, it is
// unmounted when no engine uses it and none has left pins in it. Close the gate first.
func (b *BPFFS) Close() error {
	if b.root == nil {
		return nil
	}
	err := b.root.Close()
	b.root = nil
	if uerr := UnmountBPFFS(b.Path); !errors.Is(uerr, unix.EPERM) { // else it stays for who may
		err = errors.Join(err, uerr)
	}
	return err
}

// UnmountBPFFS unmounts what OpenBPFFS has mounted, unless an engine that lives uses it or
// one that is dead has left pins in it, for the next one. Where nothing is mounted that is
// no error.
func UnmountBPFFS(own string) error {
	if isBPFFS(own) != nil {
		return nil
	}
	unlock, err := lockParent(own)
	if err != nil {
		return err
	}
	defer unlock()
	if isBPFFS(own) != nil { // another engine was first
		return nil
	}
	if _, err := os.Lstat(filepath.Join(own, pinRootName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = unix.Unmount(own, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) { // see BPFFS.root
		return nil
	}
	if err == nil {
		err = unix.Rmdir(own)
	}
	if err != nil {
		return fmt.Errorf("gate: unmount the BPF file system %s: %w", own, err)
	}
	return nil
}

// isBPFFS returns gate.ErrNoBPFFS unless a BPF file system is there.
func isBPFFS(path string) error {
	if path == "" {
		return gate.ErrNoBPFFS
	}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return fmt.Errorf("%w: %s: %w", gate.ErrNoBPFFS, path, err)
	}
	if uint32(s.Type) != unix.BPF_FS_MAGIC {
		return fmt.Errorf("%w: %s is another file system", gate.ErrNoBPFFS, path)
	}
	return nil
}

// mountBPFFS mounts a BPF file system on a directory, which it makes, unless one is there.
func mountBPFFS(own string) error {
	mount, err := detachedBPFFS()
	if err != nil {
		return err
	}
	defer mount.Close()
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		return err
	}
	unlock, err := lockParent(own)
	if err != nil {
		return err
	}
	defer unlock()
	if isBPFFS(own) == nil {
		return nil // of another engine, a moment ago
	}
	if err := os.Mkdir(own, pinMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := openPinDir(unix.AT_FDCWD, own, own)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.MoveMount(int(mount.Fd()), "", int(dir.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// detachedBPFFS returns the root of a BPF file system that is mounted nowhere yet.
func detachedBPFFS() (*os.File, error) {
	fsfd, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "mode", "0700"); err != nil {
		return nil, fmt.Errorf("fsconfig: %w", err)
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, fmt.Errorf("fsconfig: %w", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w", err)
	}
	return os.NewFile(uintptr(fd), "bpf"), nil
}

// lockParent locks the directory that a mount point is in: one engine at a time mounts and
// unmounts there.
func lockParent(path string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := flock(dir, unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, err
	}
	return func() { dir.Close() }, nil
}
