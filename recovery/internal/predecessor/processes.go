package predecessor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
)

const (
	statePrefix = "process-"
	stateSuffix = ".json"
)

// Note stands beside the state of a service's process.
type Note struct {
	Service string `json:"service"`
	Socket  string `json:"socket,omitempty"` // its name in the directory
}

// fileName makes a file's name of a service's.
func fileName(service string) string {
	sum := sha256.Sum256([]byte(service))
	return hex.EncodeToString(sum[:8])
}

// StatePath is where the state of a service's process stands, with its [Note], for the next engine.
func StatePath(dir, service string) string {
	return filepath.Join(dir, statePrefix+fileName(service)+stateSuffix)
}

// OutputPath is where the pipes belong that a service writes to.
func OutputPath(dir, service string) string { return filepath.Join(dir, "output-"+fileName(service)) }

// recorded is what a directory tells of a process.
type recorded struct {
	state supervisor.State
	note  Note
	path  string
	err   error // why it cannot be read
}

// processesIn returns the processes that a directory tells of.
func processesIn(dir string) (list []recorded, err error) {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), statePrefix) || !strings.HasSuffix(f.Name(), stateSuffix) {
			continue
		}
		r := recorded{path: filepath.Join(dir, f.Name())}
		if r.state, r.err = supervisor.ReadState(r.path, &r.note); !errors.Is(r.err, fs.ErrNotExist) {
			list = append(list, r)
		}
	}
	return list, err
}

// lives reports whether a process lives, or may.
func (r *recorded) lives() bool {
	if r.err != nil {
		return true
	}
	v, err := supervisor.Find(r.state)
	if err == nil {
		_ = v.Release() // it was only asked for
	}
	return !errors.Is(err, supervisor.ErrGone)
}

// inhabited reports whether a process that a directory tells of lives, or may.
func inhabited(dir string) bool {
	list, err := processesIn(dir)
	return err != nil || slices.ContainsFunc(list, func(r recorded) bool { return r.lives() })
}

// end kills the processes that a directory tells of, but for those of services that keep
// selects, and forgets them. It returns the services of those that lived.
func end(dir string, keep func(service string) bool) (services []string, err error) {
	list, err := processesIn(dir)
	for _, r := range list {
		if r.err != nil || keep(r.note.Service) {
			err = errors.Join(err, r.err)
			continue
		}
		lived, eerr := supervisor.End(r.state)
		if lived {
			services = append(services, r.note.Service)
		}
		if err = errors.Join(err, eerr); eerr == nil {
			err = errors.Join(err, os.Remove(r.path))
		}
	}
	return services, err
}

// List names the server processes that live, which engines that were killed have left below a
// runtime directory: the next engine goes on with them.
func List(base string) ([]string, error) {
	return each(base, func(e runtimedir.Entry) (lines []string, err error) {
		list, err := processesIn(e.Path)
		for _, r := range list {
			v, ferr := supervisor.Find(r.state)
			if err = errors.Join(err, r.err); r.err != nil || ferr != nil {
				continue
			}
			lines = append(lines, fmt.Sprintf("server process %d of service %s of engine %s", v.State().PID, r.note.Service, e.ID))
			_ = v.Release() // it was only asked for
		}
		return lines, err
	})
}

// End kills the server processes that engines which were killed have left below a runtime
// directory, and returns whose they were.
func End(base string) ([]string, error) {
	return each(base, func(e runtimedir.Entry) (lines []string, err error) {
		services, err := end(e.Path, func(string) bool { return false })
		for _, s := range services {
			lines = append(lines, "server process of service "+s+" of engine "+e.ID)
		}
		return lines, err
	})
}

// each gathers what f says of the dead engines below a runtime directory.
func each(base string, f func(runtimedir.Entry) ([]string, error)) (lines []string, err error) {
	entries, err := runtimedir.List(base)
	for _, e := range entries {
		if !e.Alive {
			more, ferr := f(e)
			lines, err = append(lines, more...), errors.Join(err, ferr)
		}
	}
	return lines, err
}
