package logbench

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DiskRates writes n bytes to a file in dir, a MiB at a time with fdatasync
// after each, and returns MiB/s: first to a new file, which grows, and then over
// what was written.
func DiskRates(dir string, n int64) (grow, over float64, err error) {
	f, err := os.CreateTemp(dir, "rate-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	settle(dir)
	if grow, err = diskRate(f, n); err == nil {
		over, err = diskRate(f, n)
	}
	return grow, over, err
}

func diskRate(f *os.File, n int64) (float64, error) {
	block := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{2})
	random.Read(block)
	start := time.Now()
	for off := int64(0); off < n; off += int64(len(block)) {
		if _, err := f.WriteAt(block, off); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, os.NewSyscallError("fdatasync", err)
		}
	}
	return float64(n) / (1 << 20) / time.Since(start).Seconds(), nil
}

// settle has what waits to be written to dir's file system written, so that it
// is not charged to what is measured next.
func settle(dir string) {
	if f, err := os.Open(dir); err == nil {
		unix.Syncfs(int(f.Fd()))
		f.Close()
	}
	time.Sleep(500 * time.Millisecond)
}

// files calls f for each regular file below dir.
func files(dir string, f func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(path, info)
	})
}

// occupied returns how many bytes of the disk the files below dir take.
func occupied(dir string) (n int64, err error) {
	err = files(dir, func(_ string, info fs.FileInfo) error {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			n += s.Blocks * 512
		}
		return nil
	})
	return n, err
}

// forget drops the files below dir from the page cache.
func forget(dir string) error {
	return files(dir, func(path string, _ fs.FileInfo) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
