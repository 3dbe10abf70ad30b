package runtimedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// TakeOver makes this process the engine of a directory whose engine no longer
// runs, and that ok accepts: id and path stay. The sockets in it are removed, whose
// owner is gone. It returns nil if there is none.
func TakeOver(base string, ok func(path string) bool) (*Dir, error) {
	base = orDefault(base)
	entries, err := List(base)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	unlock, err := lockBase(base)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, e := range entries {
		if Lives(base, e.ID) || !ok(e.Path) {
			continue
		}
		d := &Dir{ID: e.ID, Path: e.Path}
		if err = d.claim(); errors.Is(err, errTaken) {
			continue // in another runtime directory
		} else if err != nil {
			return nil, err
		}
		if err := d.retake(); err != nil {
			d.living.Close()
			return nil, err
		}
		return d, nil
	}
	return nil, nil
}

func (d *Dir) retake() error {
	files, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), socketSuffix) {
			if err := os.Remove(filepath.Join(d.Path, f.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(filepath.Join(d.Path, LockFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return d.takeLock()
}

const socketSuffix = ".sock"

// Leave gives the directory up as the engine's death would: it stays, for the next
// engine.
func (d *Dir) Leave() error {
	if d.lock == nil {
		return nil
	}
	err := errors.Join(d.lock.Close(), d.living.Close())
	d.lock = nil
	return err
}
