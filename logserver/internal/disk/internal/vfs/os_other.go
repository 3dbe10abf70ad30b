//go:build !linux

package vfs

import (
	"io"
	"math"
	"os"
)

// directFile is not there.
type directFile struct{}

func (directFile) open(string) {}

func (directFile) close() error { return nil }

// WriteStable implements File.
func (f *osFile) WriteStable(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return f.Sync()
}

// Fill implements File.
func (f *osFile) Fill(size int64) error { return f.Truncate(size) }

// Allocate implements File.
func (f *osFile) Allocate(size int64) error { return f.Truncate(size) }

// Lock implements FS. It locks nothing: the engine runs on Linux.
func (OS) Lock(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// Free implements FS.
func (OS) Free(string) (int64, error) { return math.MaxInt64, nil }
