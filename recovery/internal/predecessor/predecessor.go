// Package predecessor finds what an engine that was killed has left on this host beside its
// gate and its log: its directory, and the server processes in it. [Find] does so once, before
// anything else is made. What is left of connections is found by package rawio: see
// rawio.Engine.TakeOver.
package predecessor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
)

// Engine tells which engine is whose successor: one with the same log that has one of the
// services. It stands in the directory of each whose processes outlive it.
type Engine struct {
	Log      string   `json:"log"`
	Services []string `json:"services"`
}

const engineFile = "engine.json"

// Config says for which engine a predecessor is looked for.
type Config struct {
	RuntimeDir string
	Engine
	Recover bool // it goes on with what another one has left
	Lasts   bool // its processes are to outlive it, should it be killed
	Logger  hclog.Logger
}

// Predecessor is what was found, if there was anything. Take, Adoptable and Release may be
// called concurrently.
type Predecessor struct {
	Config
	// Dir is the directory of the engine that has asked: that of the one before, with its id,
	// or a new one.
	Dir   *runtimedir.Dir
	Found bool
	left  bool // Leave has been called

	mu        sync.Mutex          // guards what follows
	processes map[string]*Process // those that were not taken, by the paths of their states
}

// Process is one that lives. Whoever has taken it begins with it, or ends it.
type Process struct {
	*supervisor.Survivor
	Socket string // its name in the directory; empty: the server is unmodified
	err    error  // why it is not known whether it lives
}

// Find takes over the directory of the engine whose successor cfg's is, if processes of it
// live, or makes one. Processes of cfg's services that other dead engines have left, one with
// another log for instance, are ended: they hold the services' ports.
func Find(cfg Config) (p *Predecessor, err error) {
	p = &Predecessor{Config: cfg}
	if cfg.Lasts && cfg.Recover {
		if p.Dir, err = runtimedir.TakeOver(cfg.RuntimeDir, p.succeeds); err != nil {
			return nil, err
		}
	}
	if p.Found = p.Dir != nil; p.Found {
		p.processes, err = find(p.Dir.Path)
	} else if p.Dir, err = runtimedir.Create(cfg.RuntimeDir); err != nil {
		return nil, err
	}
	if err = errors.Join(err, p.leaveNote()); err != nil {
		return nil, errors.Join(err, p.Leave())
	}
	p.endRivals()
	return p, nil
}

// succeeds reports whether this engine is the successor of that of a directory, and
// a process of it lives.
func (p *Predecessor) succeeds(path string) bool {
	text, err := os.ReadFile(filepath.Join(path, engineFile))
	if err != nil {
		return false
	}
	var was Engine
	if json.Unmarshal(text, &was) != nil || was.Log != p.Log {
		return false
	}
	return slices.ContainsFunc(was.Services, func(s string) bool { return slices.Contains(p.Services, s) }) && inhabited(path)
}

// leaveNote tells the engine that this one may be the predecessor of.
func (p *Predecessor) leaveNote() error {
	if !p.Lasts {
		return nil
	}
	text, err := json.Marshal(p.Engine)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.Dir.Path, engineFile), append(text, '\n'), 0o600)
}

// find returns the processes that a directory tells of and that live, or may. What others have
// left behind is ended.
func find(path string) (map[string]*Process, error) {
	list, err := processesIn(path)
	found := map[string]*Process{}
	for _, r := range list {
		v := &Process{Socket: r.note.Socket, err: r.err}
		if v.err == nil {
			v.Survivor, v.err = supervisor.Find(r.state)
		}
		if errors.Is(v.err, supervisor.ErrGone) {
			if _, v.err = supervisor.Clear(r.state); v.err == nil {
				v.err = os.Remove(r.path)
			}
			if v.err == nil {
				continue
			}
		}
		found[r.path] = v
	}
	return found, err
}

// endRivals ends processes of this engine's services that other engines have left, and removes
// the directories of those of which nothing lives.
func (p *Predecessor) endRivals() {
	entries, err := runtimedir.List(p.RuntimeDir)
	for _, e := range entries {
		if e.Alive || e.ID == p.Dir.ID {
			continue
		}
		ended, eerr := end(e.Path, func(service string) bool { return !slices.Contains(p.Services, service) })
		err = errors.Join(err, eerr)
		if len(ended) > 0 {
			p.Logger.Warn("ended server processes of an engine that this one cannot go on for", "services", ended)
		}
	}
	if _, cerr := runtimedir.CleanStale(p.RuntimeDir, inhabited); err != nil || cerr != nil {
		p.Logger.Warn("what dead engines have left is not removed", "error", errors.Join(err, cerr))
	}
}

// Adoptable reports whether the process of a service lives, was not taken, and can go on as what
// the service is.
func (p *Predecessor) Adoptable(service string, unmodified bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.processes[StatePath(p.Dir.Path, service)]
	return v != nil && v.err == nil && v.unmodified() == unmodified
}

func (v *Process) unmodified() bool { return v.Socket == "" }

// Take gives out the process of a service, if it lives; nil: there is none. One that cannot go
// on as what the service is, is ended.
func (p *Predecessor) Take(service string, unmodified bool) (*Process, error) {
	path := StatePath(p.Dir.Path, service)
	p.mu.Lock()
	v := p.processes[path]
	delete(p.processes, path)
	p.mu.Unlock()
	switch {
	case v == nil:
		return nil, nil
	case v.err != nil:
		return nil, v.err
	case v.unmodified() != unmodified:
		_, err := supervisor.End(v.State())
		return nil, errors.Join(err, v.Release(), os.Remove(path))
	}
	return v, nil
}

// Refuse ends all that was found, and makes a new directory: without the gate nothing of it can
// go on.
func (p *Predecessor) Refuse() error {
	if _, err := p.Release(nil); err != nil {
		return err
	}
	dir, err := runtimedir.Create(p.RuntimeDir)
	if err != nil {
		return err
	}
	old := p.Dir
	p.Dir, p.Found = dir, false
	return errors.Join(old.Close(), p.leaveNote())
}

// letGo gives up what nobody has taken.
func (p *Predecessor) letGo() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.processes {
		if v.err == nil {
			err = errors.Join(err, v.Release())
		}
	}
	p.processes = nil
	return err
}

// Release ends the processes in the directory that are not of a service among keep, and returns
// whose they were.
func (p *Predecessor) Release(keep []string) (ended []string, err error) {
	err = p.letGo()
	ended, eerr := end(p.Dir.Path, func(service string) bool { return slices.Contains(keep, service) })
	return ended, errors.Join(err, eerr)
}

// Leave gives up what was found, for the next engine, and what was made.
func (p *Predecessor) Leave() error {
	p.left = true
	if !p.Found {
		return p.Dir.Close()
	}
	return errors.Join(p.letGo(), p.Dir.Leave())
}

// Close ends the processes that are still in the directory, and removes that.
func (p *Predecessor) Close() error {
	if p.left {
		return nil
	}
	_, err := p.Release(nil)
	return errors.Join(err, p.Dir.Close())
}

// CleanGates removes the filters and pins of dead engines of which nothing else lives.
func (p *Predecessor) CleanGates(bpffs string) (rawio.Leftovers, error) {
	kept, err := runtimedir.List(p.RuntimeDir)
	if err != nil {
		return rawio.Leftovers{}, err
	}
	return rawio.RemoveLeftovers(rawio.BPFFS{Path: bpffs}, func(id string) bool {
		return runtimedir.Lives(p.RuntimeDir, id) || slices.ContainsFunc(kept, func(e runtimedir.Entry) bool { return e.ID == id && inhabited(e.Path) })
	})
}
