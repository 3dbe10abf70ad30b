package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
)

// ErrCrashed is what every call returns after a crash.
var ErrCrashed = errors.New("faultfs: the power is off")

// Op is what is about to change something.
type Op string

const (
	OpCreate   Op = "create"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpSyncDir  Op = "syncdir"
	OpWrite    Op = "write"
	OpAllocate Op = "allocate"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
)

// FS is the file system. The zero value is not usable.
type FS struct {
	// CrashAt is the number of the operation that changes something, counted
	// from 1, in the middle of which the power goes; 0: none.
	CrashAt int
	// Fail, if not nil, is asked before each such operation, and makes it fail
	// by returning an error. A write may then have written some of it, a
	// sync made some of it stable.
	Fail func(op Op, path string) error
	// Direct tells whether files can be written past the page cache. New sets
	// it.
	Direct bool
	// Capacity is how many bytes all files together may have; 0: no limit.
	Capacity int64

	mu      sync.Mutex // guards the fields below, and all files
	rand    *rand.Rand
	ops     int
	crashed bool
	locked  bool
	names   map[string]*inode
	stable  map[string]*inode
	pending []rename // names that are not stable
}

// rename is a change of names: one goes, one comes.
type rename struct {
	gone, come string
	file       *inode
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty file system. The same seed brings the same faults.
func New(seed uint64) *FS {
	return &FS{Direct: true, rand: rand.New(rand.NewPCG(seed, 1)), names: map[string]*inode{}, stable: map[string]*inode{}}
}

// Ops returns how many operations have changed something.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Crashed tells whether the power is off.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// begin counts an operation. f.mu is held.
func (f *FS) begin(op Op, path string) error {
	if f.crashed {
		return ErrCrashed
	}
	f.ops++
	if f.ops == f.CrashAt {
		f.crashed = true
		return ErrCrashed
	}
	if f.Fail != nil {
		return f.Fail(op, path)
	}
	return nil
}

// Mkdir implements vfs.FS. Directories need not be made.
func (f *FS) Mkdir(string) error { return nil }

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	var names []string
	for path := range f.names {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Open implements vfs.FS.
func (f *FS) Open(path string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	i := f.names[path]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &file{f, i, path}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(path string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(OpCreate, path); err != nil {
		return nil, err
	}
	i := &inode{dirty: map[int]bool{}}
	f.change(rename{come: path, file: i})
	return &file{f, i, path}, nil
}

func (f *FS) change(r rename) {
	r.apply(f.names)
	f.pending = append(f.pending, r)
}

func (r rename) apply(names map[string]*inode) {
	if r.gone != "" {
		delete(names, r.gone)
	}
	if r.come != "" {
		names[r.come] = r.file
	}
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(OpRename, from); err != nil {
		return err
	}
	i := f.names[from]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	f.change(rename{from, to, i})
	return nil
}

// Remove implements vfs.FS.
func (f *FS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(OpRemove, path); err != nil {
		return err
	}
	if f.names[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	f.change(rename{gone: path})
	return nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(OpSyncDir, dir); err != nil {
		return err
	}
	for _, r := range f.pending {
		r.apply(f.stable)
	}
	f.pending = nil
	return nil
}

type unlock struct{ f *FS }

func (u unlock) Close() error {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	u.f.locked = false
	return nil
}

// Lock implements vfs.FS.
func (f *FS) Lock(path string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	if f.locked {
		return nil, &vfs.LockedError{Path: path}
	}
	f.locked = true
	return unlock{f}, nil
}

// Free implements vfs.FS.
func (f *FS) Free(string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Capacity == 0 {
		return 1 << 40, nil
	}
	return max(0, f.Capacity-f.used()), nil
}

func (f *FS) used() int64 {
	n := int64(0)
	for _, i := range f.names {
		n += int64(len(i.data))
	}
	return n
}

// SetCapacity changes Capacity while the file system is in use.
func (f *FS) SetCapacity(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Capacity = n
}

// grow returns ENOSPC if a file cannot become that long. f.mu is held.
func (f *FS) grow(i *inode, size int64) error {
	if more := size - int64(len(i.data)); f.Capacity > 0 && more > 0 && f.used()+more > f.Capacity {
		return syscall.ENOSPC
	}
	return nil
}
