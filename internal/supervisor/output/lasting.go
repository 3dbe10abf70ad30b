package output

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lastingSize is how much a process can write, in bytes, while nobody reads: at
// least the kernel's 64 KiB, where this much is not allowed.
const lastingSize = 1 << 20

// NewLasting is NewCapture with pipes that outlive this process, which may be
// killed: FIFOs in a directory of their own, which it makes. The next process's
// NewLasting on the same directory reads on where this one has stopped; what the
// services write meanwhile is kept, up to 1 MiB for each stream. Beyond that
// they wait.
//
// The processes get descriptors that are open in both directions, so that they
// meet neither SIGPIPE nor EPIPE while nobody reads. One that replaces such a
// descriptor by another that it opens for writing only, by way of /dev/stderr,
// loses that. Close removes the directory.
func NewLasting(log *Log, dir string) (*Capture, error) {
	// The FIFOs are open to all for writing, see pipe; their directory is not.
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := ownDirectory(dir); err != nil {
		return nil, err
	}
	c := &Capture{}
	err := c.open(log, func(name string) (r, w *os.File, err error) { return fifo(filepath.Join(dir, name)) })
	if err != nil {
		return nil, err // what lies in the FIFOs stays
	}
	c.dir = dir
	return c, nil
}

// ownDirectory makes sure that nobody else can put something in the directory.
func ownDirectory(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: not a directory that only this user may enter", dir)
	}
	return nil
}

// fifo opens both ends of a FIFO, which it makes if there is none.
func fifo(path string) (r, w *os.File, err error) {
	if err := unix.Mkfifo(path, 0o622); err != nil && err != unix.EEXIST {
		return nil, nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	open := func(flags int) (int, error) {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
	// In this order: the first waits for nobody. A descriptor of its own, because
	// whether it blocks belongs to what a descriptor shares.
	out, err := open(unix.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(out, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFIFO {
		err = unix.ENOTSUP
	}
	if err == nil {
		err = unix.Fchmod(out, 0o622) // whatever the umask is
	}
	if err != nil {
		unix.Close(out)
		return nil, nil, &os.PathError{Op: "use as FIFO", Path: path, Err: err}
	}
	in, err := open(unix.O_RDONLY | unix.O_NONBLOCK)
	if err != nil {
		unix.Close(out)
		return nil, nil, err
	}
	_, _ = unix.FcntlInt(uintptr(out), unix.F_SETPIPE_SZ, lastingSize) // else the kernel's size has to do
	return os.NewFile(uintptr(in), path), os.NewFile(uintptr(out), path), nil
}
