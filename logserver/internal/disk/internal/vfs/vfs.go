// Package vfs is the little of a file system that the disk log needs, so that
// tests can put one in its place that loses power. [OS] is the real one.
//
// It is not a general file system: paths are given whole, files are never
// appended to, and there is one flat directory.
package vfs

import (
	"fmt"
	"io"
	"unsafe"
)

// Block is what places in files are multiples of where WriteStable is used.
// There is hardly a device that wants more; if one does, WriteStable uses the
// page cache.
const Block = 4096

// AlignedBytes returns n bytes whose address is a multiple of Block.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+Block-1)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Block - 1))
	return b[skip : skip+n : skip+n]
}

// FS is a file system. Its methods may be called from any goroutine.
type FS interface {
	// Mkdir makes a directory that only its owner may use. It is no error if there
	// is one, but if the one that it is to be in is missing: that may be a disk which is
	// not mounted, or a mistyped path.
	Mkdir(dir string) error
	// ReadDir returns the names in a directory.
	ReadDir(dir string) ([]string, error)
	// Open opens a file for reading and writing.
	Open(path string) (File, error)
	// Create makes an empty file that only its owner may use, and opens it. An
	// old one of that name is emptied.
	Create(path string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a directory stable: what Create, Rename and
	// Remove did before.
	SyncDir(dir string) error
	// Lock takes a lock that goes with the process at the latest. It does not
	// wait: if another process has it the error is a *LockedError.
	Lock(path string) (io.Closer, error)
	// Free returns how many bytes may still be written to the directory's file
	// system.
	Free(dir string) (int64, error)
}

// File is an open file. Its methods may be called from any goroutine.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteStable writes the buffers one after the other, from off on, and
	// makes that stable, in one go and past the page cache where the system
	// can. off and the buffers' addresses and lengths are multiples of Block.
	// It does not make the file longer for certain. After an error nothing is
	// known about what lies there.
	WriteStable(bufs [][]byte, off int64) error
	// Allocate makes the file that long, with blocks of the device behind it
	// where the file system can.
	Allocate(size int64) error
	// Fill is Allocate, and then, if WriteStable can write past the page
	// cache, fills all of it with zeros: to write what was written before, a
	// file system has nothing to note.
	Fill(size int64) error
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes what was written stable, and the file's length (fdatasync).
	// After an error nothing is known about what was written since the last
	// call that succeeded.
	Sync() error
	Close() error
}

// LockedError tells who has a lock.
type LockedError struct {
	Path string
	// Owner is the process that has the lock; 0 if unknown.
	Owner int
}

func (e *LockedError) Error() string {
	if e.Owner == 0 {
		return e.Path + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by process %d", e.Path, e.Owner)
}
