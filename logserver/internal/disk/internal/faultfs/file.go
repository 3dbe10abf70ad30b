package faultfs

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
)

// sector is what is written whole or not at all.
const sector = 512

// inode is a file, whatever its name.
type inode struct {
	data   []byte
	stable []byte
	dirty  map[int]bool // sectors of data that are not stable
	unsure bool         // the length is not stable
}

type file struct {
	f    *FS
	i    *inode
	path string
}

// resize changes the length; what is new reads as 0.
func (i *inode) resize(size int) {
	old := len(i.data)
	if size == old {
		return
	}
	i.unsure = true
	if size <= old {
		clear(i.data[size:])
		i.touch(size, old)
		i.data = i.data[:size]
		return
	}
	i.data = append(i.data, make([]byte, size-old)...)
	i.touch(old, size)
}

// touch marks what lies between two offsets as not stable.
func (i *inode) touch(from, to int) {
	for s := from / sector; s*sector < to; s++ {
		i.dirty[s] = true
	}
}

// sorted returns the sectors that are not stable.
func (i *inode) sorted() []int { return slices.Sorted(maps.Keys(i.dirty)) }

// extend makes the stable copy at least that long.
func (i *inode) extend(size int) {
	if more := size - len(i.stable); more > 0 {
		i.stable = append(i.stable, make([]byte, more)...)
	}
}

// persist makes a sector stable.
func (i *inode) persist(s int) {
	from := s * sector
	i.extend(min(from+sector, len(i.data)))
	if from < len(i.data) {
		copy(i.stable[from:], i.data[from:min(from+sector, len(i.data))])
	}
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.f.crashed {
		return 0, ErrCrashed
	}
	if off >= int64(len(h.i.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.i.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (h *file) WriteAt(p []byte, off int64) (int, error) { return h.writeVec([][]byte{p}, off) }

// writeVec writes to the page cache.
func (h *file) writeVec(bufs [][]byte, off int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	total := length(bufs)
	if h.f.crashed {
		return 0, ErrCrashed
	}
	err := h.f.begin(OpWrite, h.path)
	if err == nil {
		err = h.f.grow(h.i, off+int64(total))
	}
	n := total
	if err != nil { // some of it may be written
		n = h.f.rand.IntN(total + 1)
		if h.f.grow(h.i, off+int64(n)) != nil {
			n = 0
		}
	}
	if end := int(off) + n; n > 0 && end > len(h.i.data) {
		h.i.resize(end)
	}
	at, left := int(off), n
	for _, b := range bufs {
		b = b[:min(len(b), left)]
		copy(h.i.data[at:], b)
		at, left = at+len(b), left-len(b)
	}
	if n > 0 {
		h.i.touch(int(off), int(off)+n)
	}
	return n, err
}

func length(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// WriteStable implements vfs.File: past the page cache, unless the file system
// is told that it cannot.
func (h *file) WriteStable(bufs [][]byte, off int64) error {
	if off%vfs.Block != 0 || slices.ContainsFunc(bufs, func(b []byte) bool { return len(b)%vfs.Block != 0 }) {
		return syscall.EINVAL
	}
	if !h.f.Direct {
		if _, err := h.writeVec(bufs, off); err != nil {
			return err
		}
		return h.Sync()
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.f.crashed {
		return ErrCrashed
	}
	err := h.f.begin(OpWrite, h.path)
	end := int(off) + length(bufs)
	if err == nil {
		err = h.f.grow(h.i, int64(end))
	}
	if end > len(h.i.data) {
		if err != nil {
			return err
		}
		h.i.resize(end)
		h.i.extend(end) // the length is the file system's to note, at once
	}
	// What is written is stable; after an error, or when the power goes
	// meanwhile, that is any of its sectors.
	for at, b := 0, slices.Concat(bufs...); at < len(b); at += sector {
		if err != nil && h.f.rand.IntN(2) == 0 {
			continue
		}
		from := int(off) + at
		copy(h.i.data[from:], b[at:at+sector])
		copy(h.i.stable[min(from, len(h.i.stable)):], b[at:at+sector])
		if from+sector <= len(h.i.stable) {
			delete(h.i.dirty, from/sector)
		} else {
			h.i.dirty[from/sector] = true
		}
	}
	return err
}

// Fill implements vfs.File.
func (h *file) Fill(size int64) error {
	err := h.Allocate(size)
	if err == nil && h.f.Direct {
		_, err = h.WriteAt(make([]byte, size), 0)
	}
	return err
}

// Allocate implements vfs.File.
func (h *file) Allocate(size int64) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.f.begin(OpAllocate, h.path); err != nil {
		return err
	}
	if err := h.f.grow(h.i, size); err != nil {
		return &fs.PathError{Op: "allocate", Path: h.path, Err: err}
	}
	if size > int64(len(h.i.data)) {
		h.i.resize(int(size))
	}
	return nil
}

// Truncate implements vfs.File.
func (h *file) Truncate(size int64) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.f.begin(OpTruncate, h.path); err != nil {
		return err
	}
	h.i.resize(int(size))
	return nil
}

// Size implements vfs.File.
func (h *file) Size() (int64, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return int64(len(h.i.data)), nil
}

// Sync implements vfs.File. If it is to fail, some sectors become stable, and
// all are taken for stable from then on: as Linux does it.
func (h *file) Sync() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.f.crashed {
		return ErrCrashed
	}
	err := h.f.begin(OpSync, h.path)
	if h.f.crashed {
		return err
	}
	if err == nil {
		for s := range h.i.dirty {
			h.i.persist(s)
		}
	} else {
		for _, s := range h.i.sorted() {
			if h.f.rand.IntN(2) == 0 {
				h.i.persist(s)
			}
		}
	}
	clear(h.i.dirty)
	if err == nil {
		h.i.stable = h.i.stable[:min(len(h.i.stable), len(h.i.data))]
		h.i.extend(len(h.i.data))
		h.i.unsure = false
	}
	return err
}

// Close implements vfs.File.
func (h *file) Close() error { return nil }

// EIO is the usual error of a device.
const EIO = syscall.EIO
