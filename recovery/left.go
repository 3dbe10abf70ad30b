package recovery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// What an engine leaves in its runtime directory for the next one, should it be
// killed: what it was, and which processes it has.

const (
	engineFile  = "engine.json"
	statePrefix = "process-"
	stateSuffix = ".json"
)

// engineNote tells which engine is this one's successor: one with the same log that
// has one of the services.
type engineNote struct {
	Log      string   `json:"log"`
	Services []string `json:"services"`
}

// processNote stands beside the state of a service's process.
type processNote struct {
	Service string `json:"service"`
	Socket  string `json:"socket,omitempty"` // its name in the directory
}

// fileName makes a file's name of a service's.
func fileName(service string) string {
	sum := sha256.Sum256([]byte(service))
	return hex.EncodeToString(sum[:8])
}

func statePath(dir, service string) string {
	return filepath.Join(dir, statePrefix+fileName(service)+stateSuffix)
}

// OutputDir is where the pipes belong that a service writes to, so that they outlive
// the engine as its process does; empty if it does not.
func (h *Host) OutputDir(service string) string {
	if !h.survive {
		return ""
	}
	return filepath.Join(h.dir.Path, "output-"+fileName(service))
}

// note is this engine's.
func (h *Host) note() engineNote {
	return engineNote{Log: h.cfg.Log.URL, Services: h.cfg.Services}
}

func (h *Host) writeNote() error {
	text, err := json.Marshal(h.note())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.dir.Path, engineFile), append(text, '\n'), 0o600)
}

// succeeds reports whether this engine is the successor of that of a directory, and
// a process of it lives.
func (h *Host) succeeds(path string) bool {
	text, err := os.ReadFile(filepath.Join(path, engineFile))
	if err != nil {
		return false
	}
	var was engineNote
	if json.Unmarshal(text, &was) != nil || was.Log != h.cfg.Log.URL {
		return false
	}
	return slices.ContainsFunc(was.Services, func(s string) bool { return slices.Contains(h.note().Services, s) }) && inhabited(path)
}

// left is a process that an engine has left.
type left struct {
	state supervisor.State
	note  processNote
	path  string
}

// leftIn returns the processes that a directory tells of.
func leftIn(path string) ([]left, error) {
	files, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var list []left
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), statePrefix) || !strings.HasSuffix(f.Name(), stateSuffix) {
			continue
		}
		l := left{path: filepath.Join(path, f.Name())}
		if l.state, err = supervisor.ReadState(l.path, &l.note); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return list, err
		}
		list = append(list, l)
	}
	return list, nil
}

// inhabited reports whether a process that a directory tells of lives, or may.
func inhabited(path string) bool {
	list, err := leftIn(path)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(list, func(l left) bool {
		v, err := supervisor.Find(l.state)
		if err == nil {
			_ = v.Release() // it was only asked for
		}
		return !errors.Is(err, supervisor.ErrGone)
	})
}

// evict kills the processes that a directory tells of, but for those of services
// that keep, if not nil, selects, and forgets them. It returns the services of those
// that lived.
func evict(path string, keep func(service string) bool) (services []string, err error) {
	list, err := leftIn(path)
	for _, l := range list {
		if keep != nil && keep(l.note.Service) {
			continue
		}
		lived, eerr := supervisor.End(l.state)
		if lived {
			services = append(services, l.note.Service)
		}
		if err = errors.Join(err, eerr); eerr == nil {
			err = errors.Join(err, os.Remove(l.path))
		}
	}
	return services, err
}

// ListLeft names the server processes that live, which engines that were killed have left
// below a runtime directory: the next engine goes on with them.
func ListLeft(base string) (lines []string, err error) {
	entries, err := runtimedir.List(base)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Alive {
			continue
		}
		list, lerr := leftIn(e.Path)
		err = errors.Join(err, lerr)
		for _, l := range list {
			v, ferr := supervisor.Find(l.state)
			if ferr != nil {
				continue
			}
			lines = append(lines, fmt.Sprintf("server process %d of service %s of engine %s", v.State().PID, l.note.Service, e.ID))
			_ = v.Release() // it was only asked for
		}
	}
	return lines, err
}

// EndLeft kills the server processes that engines which were killed have left below
// a runtime directory, and returns whose they were.
func EndLeft(base string) ([]string, error) {
	entries, err := runtimedir.List(base)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		if e.Alive {
			continue
		}
		services, eerr := evict(e.Path, nil)
		err = errors.Join(err, eerr)
		for _, s := range services {
			lines = append(lines, "server process of service "+s+" of engine "+e.ID)
		}
	}
	return lines, err
}
