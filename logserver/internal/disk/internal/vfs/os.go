package vfs

import (
	"errors"
	"os"
)

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// Mkdir implements FS.
func (OS) Mkdir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if info, serr := os.Stat(dir); errors.Is(err, os.ErrExist) && serr == nil && info.IsDir() {
		return nil
	}
	return err
}

// ReadDir implements FS.
func (OS) ReadDir(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// Open implements FS.
func (OS) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return newFile(f), nil
}

// Create implements FS.
func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return newFile(f), nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// osFile is a file, and the same once more for writing past the page cache.
type osFile struct {
	*os.File
	direct directFile
}

func newFile(f *os.File) *osFile {
	o := &osFile{File: f}
	o.direct.open(f.Name())
	return o
}

// Close implements io.Closer.
func (f *osFile) Close() error { return errors.Join(f.direct.close(), f.File.Close()) }

// Size implements File.
func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
