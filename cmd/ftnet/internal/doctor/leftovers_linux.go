package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio/gate/kernel"
)

func runtimeDirectory(m Machine) []Result {
	const name = "runtime directory"
	d, err := runtimedir.Create(m.RuntimeDir)
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		return finding(Fail, name, err.Error(), "choose another with --runtime-dir, or run as root")
	}
	base := m.RuntimeDir
	if base == "" {
		base = runtimedir.Default(runtimedir.Base)
	}
	return ok(name, "%s is writable", base)
}

// leftovers of engines that were killed. The next engine removes them too.
func leftovers(m Machine) []Result {
	const name = "leftovers"
	var found []string
	dirs, err := runtimedir.List(m.RuntimeDir)
	for _, d := range dirs {
		if !d.Alive {
			found = append(found, "the directory of engine "+d.ID)
		}
	}
	filters, filterErr := staleFilters(m.BPFFS)
	for _, id := range filters {
		found = append(found, "filters of engine "+id)
	}
	pins, pinErr := kernel.LeftPins(m.BPFFS)
	for _, id := range pins {
		found = append(found, "pins of engine "+id)
	}
	switch err := errors.Join(err, filterErr, pinErr); {
	case len(m.Servers) > 0:
		return finding(Warn, name, strings.Join(append(slices.Clone(m.Servers), found...), ", "), "start ftnet again as before: it goes on with the servers "+
			"and their connections; only to give these up: ftnet doctor --clean")
	case len(found) > 0:
		return finding(Warn, name, strings.Join(found, ", "), "ftnet doctor --clean")
	case errors.Is(err, fs.ErrPermission):
		return finding(Warn, name, "cannot be looked for: "+err.Error(), "run as root")
	case err != nil:
		return finding(Warn, name, "cannot be looked for: "+err.Error(), "")
	}
	return ok(name, "none")
}

// staleFilters looks without touching: every engine is said to be alive.
func staleFilters(bpffs string) ([]string, error) {
	var stale []string
	look := func(id string) bool {
		if !runtimedir.Living(id) && !slices.Contains(stale, id) {
			stale = append(stale, id)
		}
		return true
	}
	_, err := kernel.CleanStale(look)
	_, linkErr := kernel.CleanLinks(bpffs, look)
	return stale, errors.Join(err, linkErr)
}

// Clean removes what engines that no longer run have left behind: their filters
// on the interfaces of this network namespace, their pins in the BPF file system and
// their directories below runtimeDir. It returns a line for each thing removed.
func Clean(runtimeDir, bpffs string) ([]string, error) {
	var removed []string
	filters, err := kernel.CleanStale(runtimedir.Living)
	for _, id := range filters {
		removed = append(removed, fmt.Sprintf("filters of engine %s", id))
	}
	links, linkErr := kernel.CleanLinks(bpffs, runtimedir.Living)
	for _, id := range links {
		if !slices.Contains(filters, id) {
			removed = append(removed, fmt.Sprintf("filters of engine %s", id))
		}
	}
	pins, pinErr := kernel.CleanPins(bpffs)
	for _, id := range pins {
		removed = append(removed, fmt.Sprintf("pins of engine %s", id))
	}
	dirs, dirErr := runtimedir.CleanStale(runtimeDir, nil)
	for _, id := range dirs {
		removed = append(removed, fmt.Sprintf("directory of engine %s", id))
	}
	return removed, errors.Join(err, linkErr, pinErr, dirErr)
}
