package vfs

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// directFile writes past the page cache (O_DIRECT). What a device is to have
// at once need not be copied for it, nor looked for when it is to be synced.
type directFile struct {
	file    *os.File    // nil if the file system does not do it
	refused atomic.Bool // it let the file be opened so, but not written
}

func (d *directFile) open(path string) {
	d.file, _ = os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0)
}

func (d *directFile) close() error {
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

func (d *directFile) usable() bool { return d.file != nil && !d.refused.Load() }

// refuses tells errors of a file system, device or kernel that cannot do it, or
// not in units of Block.
func refuses(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

// WriteStable implements File. Where direct writes are not possible, it writes
// to the page cache and syncs the file.
func (f *osFile) WriteStable(bufs [][]byte, off int64) error {
	if f.direct.usable() {
		err := writeVec(f.direct.file, bufs, off, unix.RWF_DSYNC)
		if !refuses(err) {
			return err
		}
		f.direct.refused.Store(true)
	}
	if err := writeVec(f.File, bufs, off, 0); err != nil {
		return err
	}
	return f.Sync()
}

// maxVec is the most buffers that one pwritev2 takes (IOV_MAX).
const maxVec = 1024

// writeVec writes all buffers.
func writeVec(f *os.File, bufs [][]byte, off int64, flags int) error {
	bufs = append([][]byte(nil), bufs...) // they get shorter
	for len(bufs) > 0 {
		n, err := unix.Pwritev2(int(f.Fd()), bufs[:min(len(bufs), maxVec)], off, flags)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return &os.PathError{Op: "pwritev2", Path: f.Name(), Err: err}
		}
		off += int64(n)
		for len(bufs) > 0 && n >= len(bufs[0]) {
			n -= len(bufs[0])
			bufs = bufs[1:]
		}
		if n > 0 {
			bufs[0] = bufs[0][n:]
		}
	}
	return nil
}

// zeros is what new files are filled with.
var zeros = AlignedBytes(1 << 20)

// Fill implements File.
func (f *osFile) Fill(size int64) error {
	if err := f.Allocate(size); err != nil {
		return err
	}
	for at := int64(0); at < size && f.direct.usable(); {
		n := min(size-at, int64(len(zeros)))
		err := writeVec(f.direct.file, [][]byte{zeros[:n]}, at, 0)
		if refuses(err) {
			f.direct.refused.Store(true)
			return nil
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}
