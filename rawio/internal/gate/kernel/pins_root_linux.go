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

// pinRootName is the directory of all gates' pins below a BPF file system. In it
// each gate has one of its own: see pins.
const pinRootName = "ftnet"

// pinRoot is that directory, locked: pins are made, taken over and removed by one
// engine at a time. It is there only while something is in it.
type pinRoot struct {
	dir  *os.File
	path string
}

// openPinRoot opens and locks the directory. If there is none it makes it, if
// create is set, or returns fs.ErrNotExist. It returns gate.ErrNoBPFFS where no BPF file
// system is, and gate.ErrPins if another user may have had a hand in the directory.
func openPinRoot(bpffs string, create bool) (*pinRoot, error) {
	if err := isBPFFS(bpffs); err != nil {
		return nil, err
	}
	path := filepath.Join(bpffs, pinRootName)
	for {
		if create {
			if err := os.Mkdir(path, pinMode); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, fmt.Errorf("gate: pins: %w", err)
			}
		}
		dir, err := lockPinRoot(path)
		if create && errors.Is(err, fs.ErrNotExist) {
			continue // the last one who used it has just removed it
		}
		if err != nil {
			return nil, err
		}
		return &pinRoot{dir, path}, nil
	}
}

// lockPinRoot returns fs.ErrNotExist if the directory is removed before it is locked.
func lockPinRoot(path string) (*os.File, error) {
	dir, err := openPinDir(unix.AT_FDCWD, path, path)
	if err != nil {
		return nil, err
	}
	err = flock(dir, unix.LOCK_EX)
	var own, now os.FileInfo
	if err == nil {
		own, err = dir.Stat()
	}
	if err == nil {
		now, err = os.Lstat(path)
	}
	if err == nil && !os.SameFile(own, now) {
		err = fs.ErrNotExist
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("gate: pins: %w", err)
	}
	return dir, nil
}

// unlock gives the directory back, and removes it if nothing is in it.
func (r *pinRoot) unlock() {
	_ = unix.Rmdir(r.path) // most of the time there is
	r.dir.Close()
}

// pinMode keeps all others out: who can open a pin can change what the gate does.
const pinMode fs.FileMode = 0o700

// openPinDir opens a directory in which only this process's user can have put what
// is there. path is for messages.
func openPinDir(at int, name, path string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is no directory", gate.ErrPins, path)
	}
	if err != nil {
		return nil, fmt.Errorf("gate: pins: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	var s unix.Stat_t
	err = unix.Fstat(fd, &s)
	if err == nil && int(s.Uid) != os.Geteuid() {
		err = fmt.Errorf("%w: %s belongs to user %d, this is user %d", gate.ErrPins, path, s.Uid, os.Geteuid())
	}
	if err == nil && s.Mode&0o077 != 0 {
		err = fmt.Errorf("%w: %s is open to other users (mode %#o)", gate.ErrPins, path, s.Mode&0o777)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// MayPin returns nil if gates can be pinned in the BPF file system, else why not:
// an error that satisfies errors.Is with gate.ErrNoBPFFS or gate.ErrPins, or another.
func MayPin(bpffs string) error {
	r, err := openPinRoot(bpffs, true)
	if err != nil {
		return err
	}
	defer r.unlock()
	const probe = "probe"
	if err := unix.Mkdirat(int(r.dir.Fd()), probe, uint32(pinMode)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("gate: pins: %w", &fs.PathError{Op: "mkdir", Path: filepath.Join(r.path, probe), Err: err})
	}
	return unix.Unlinkat(int(r.dir.Fd()), probe, unix.AT_REMOVEDIR)
}
