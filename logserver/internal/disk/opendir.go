package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
)

// openDir makes the directory, and sees to it that no other process uses it.
func (f *files) openDir() error {
	if err := f.fs.Mkdir(f.dir); err != nil {
		return explain(f.dir, err)
	}
	lock, err := f.fs.Lock(filepath.Join(f.dir, lockName))
	if err != nil {
		return explain(f.dir, err)
	}
	f.lock = lock
	if _, ok := f.fs.(vfs.OS); ok {
		info, err := os.Stat(f.dir)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			f.cfg.Warn("the log's directory is accessible to other users (its files are not)", "directory", f.dir, "mode", info.Mode().Perm(), "remedy", "chmod 700")
		}
	}
	return nil
}

// explain says what can be done about an error.
func explain(path string, err error) error {
	if err == nil {
		return nil
	}
	var hint string
	locked, isLocked := errors.AsType[*vfs.LockedError](err)
	version, isVersion := errors.AsType[format.VersionError](err)
	switch {
	case isLocked:
		return fmt.Errorf("log directory %s is in use: %w; stop it or choose another directory", path, locked)
	case isVersion:
		return fmt.Errorf("log file %s has %w; use the program that wrote it, or another directory", path, version)
	case errors.Is(err, fs.ErrNotExist):
		hint = "only its last part is made: make " + filepath.Dir(path) + " before, if that is meant"
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST):
		hint = "a file is in the way: choose another directory"
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: remount it or choose another directory"
	case errors.Is(err, fs.ErrPermission):
		hint = "give the directory to the user that runs this program (chown), or choose another"
	case lacksSpace(err):
		hint = "make some room on the file system"
	default:
		return fmt.Errorf("log directory %s: %w", path, err)
	}
	return fmt.Errorf("log directory %s: %w (%s)", path, err, hint)
}

// explainKey says what is wrong with the key.
func (f *files) explainKey(path string, h *format.SegmentHeader) error {
	switch {
	case h.Encrypted && f.cfg.Key == nil:
		return fmt.Errorf("log file %s is encrypted, and no key was given: %w", path, format.ErrKey)
	case !h.Encrypted:
		return fmt.Errorf("log file %s is not encrypted, but a key was given: leave the key out, or begin in another directory: %w", path, format.ErrKey)
	}
	return fmt.Errorf("log file %s was encrypted with another key: %w", path, format.ErrKey)
}

// found is a segment that was found, before its records are read.
type found struct {
	*segment
	header format.SegmentHeader
	// limit is how much of it was stable, if that is known; else -1.
	limit int64
}

// findSegments opens all segments, the oldest first, and removes what never
// became one.
func (f *files) findSegments() ([]*found, error) {
	names, err := f.fs.ReadDir(f.dir)
	if err != nil {
		return nil, explain(f.dir, err)
	}
	slices.Sort(names)
	var list []*found
	unknown := map[uint32]vfs.File{}
	for _, name := range names {
		if strings.HasSuffix(name, spareSuffix) {
			_ = f.fs.Remove(filepath.Join(f.dir, name)) // it is empty
			continue
		}
		id, ok := segmentName(name)
		if !ok {
			continue
		}
		f.nextSeg = max(f.nextSeg, id+1)
		s, file, err := f.openSegment(id)
		switch {
		case err != nil:
			for _, file := range unknown {
				_ = file.Close()
			}
			return nil, err
		case s == nil:
			unknown[id] = file
		default:
			list = append(list, s)
			f.segments[id] = s.segment
		}
	}
	stable := map[uint32]int64{} // how much the next segment's header vouches for
	for _, s := range list {
		stable[uint32(s.header.Prev)] = s.header.PrevEnd
	}
	for i, s := range list {
		if end, ok := stable[s.id]; ok {
			s.limit = end
		} else if i+1 < len(list) && list[i+1].header.Prev < uint64(s.id) {
			s.limit = format.Begin // it was given up before anything was stable
		}
	}
	for id, file := range unknown {
		f.unknownFile(id, file, list, stable[id])
	}
	return list, nil
}

// openSegment opens a file with a segment's name. If it has no valid header
// the segment is nil.
func (f *files) openSegment(id uint32) (*found, vfs.File, error) {
	path := f.segmentPath(id)
	file, err := f.fs.Open(path)
	if err != nil {
		return nil, nil, explain(path, err)
	}
	size, err := file.Size()
	b := make([]byte, min(max(size, 0), format.Begin))
	if err == nil && len(b) > 0 {
		_, err = file.ReadAt(b, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(explain(path, err), file.Close())
	}
	h, err := format.ParseSegmentHeader(b)
	if _, ok := errors.AsType[format.VersionError](err); ok {
		return nil, nil, errors.Join(explain(path, err), file.Close())
	}
	if err != nil || h.ID != uint64(id) {
		return nil, file, nil
	}
	codec, err := format.OpenCodec(h, f.cfg.Key)
	if err != nil {
		return nil, nil, errors.Join(f.explainKey(path, &h), file.Close())
	}
	s := &segment{id: id, path: path, file: file, codec: codec, size: size, sealed: true}
	return &found{s, h, -1}, file, nil
}

// unknownFile removes a file that has a segment's name and no valid header. Most
// likely nothing of it was ever stable; else it is put aside.
func (f *files) unknownFile(id uint32, file vfs.File, list []*found, stable int64) {
	path := f.segmentPath(id)
	b := make([]byte, format.Begin)
	n, _ := file.ReadAt(b, 0)
	_ = file.Close()
	resembles := format.Resembles(b[:n], uint64(id))
	next := slices.IndexFunc(list, func(s *found) bool { return s.id > id })
	// The next segment's header would name it if it had held anything.
	used := next >= 0 && list[next].header.Prev >= uint64(id)
	switch known := stable > format.Begin || resembles && used; {
	case known:
		f.lost++
		f.cfg.Warn("a file's header is damaged, and what it held is lost", "file", path)
		f.putAside(path)
		return
	case resembles && next < 0:
		f.cfg.Warn("the log's last file has a damaged header: either nothing in it was stable, or it is lost", "file", path)
		f.putAside(path)
		return
	}
	if err := f.fs.Remove(path); err != nil {
		f.cfg.Warn("a file that is not needed cannot be removed", "file", path, "error", err)
	}
}

// putAside renames a file so that it is not looked at again.
func (f *files) putAside(path string) {
	aside := strings.TrimSuffix(path, segmentSuffix) + ".damaged"
	err := f.fs.Rename(path, aside)
	f.cfg.Warn("a damaged file is put aside; it can be removed", "file", aside, "error", err)
}
