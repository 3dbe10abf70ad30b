package kernel

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// findStalePins returns the IDs of the engines with stale pins: the engine does
// not live, and its filters are gone, from the calling thread's network namespace or
// with their own. Pins with filters in other existing namespaces are for the next engine there.
// A BPF file system that is not mounted has none.
func findStalePins(bpffs string) ([]string, error) {
	return eachStalePins(bpffs, func(_ *pinRoot, p *pins) error { p.leave(); return nil })
}

// removeStalePins removes what findStalePins finds, and returns the IDs. Call cleanStale
// before.
func removeStalePins(bpffs string) ([]string, error) {
	return eachStalePins(bpffs, (*pinRoot).remove)
}

// eachStalePins calls f for the stale pins; f closes them.
func eachStalePins(bpffs string, f func(*pinRoot, *pins) error) (ids []string, err error) {
	netns, err := netnsInode()
	if err != nil {
		return nil, err
	}
	filters, err := gateFilters()
	if err != nil {
		return nil, err
	}
	err = eachPins(bpffs, func(r *pinRoot, name string) error {
		its, id, _ := strings.Cut(name, "-")
		p, err := r.open(name)
		if errors.Is(err, errPinned) {
			return nil
		}
		var stale bool
		if err == nil {
			if stale, err = p.stale(its == netns, filters); !stale {
				p.leave()
			}
		}
		if stale {
			if err = f(r, p); err == nil {
				ids = append(ids, id)
			}
		}
		return err
	})
	return ids, err
}

// eachPins calls f for the name of all pins of gates, whatever network namespace they
// belong to. A BPF file system that is not there has none.
func eachPins(bpffs string, f func(r *pinRoot, name string) error) error {
	r, err := openPinRoot(bpffs, false)
	if errors.Is(err, gate.ErrNoBPFFS) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.unlock()
	names, err := r.dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if strings.Contains(name, "-") {
			errs = append(errs, f(r, name))
		}
	}
	return errors.Join(errs...)
}

// stale reports whether the filters of the pins are gone. here says that theirs is,
// or was, the network namespace with the filters.
func (p *pins) stale(here bool, filters []placed) (bool, error) {
	if !here {
		return p.namespaceGone()
	}
	programs, err := p.programs()
	if err != nil {
		return false, err
	}
	for _, f := range filters {
		if programs[ebpf.ProgramID(f.Id)] {
			return false, nil
		}
	}
	links, err := p.links()
	for _, a := range links {
		a.close()
	}
	return err == nil && len(links) == 0, err
}
