//go:build !linux

package vfs

import (
	"io"
	"math"
	"os"
)

// WriteVec implements File.
func (f osFile) WriteVec(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Allocate implements File.
func (f osFile) Allocate(size int64) error { return f.Truncate(size) }

// Lock implements FS. It locks nothing: the engine runs on Linux.
func (OS) Lock(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// Free implements FS.
func (OS) Free(string) (int64, error) { return math.MaxInt64, nil }
