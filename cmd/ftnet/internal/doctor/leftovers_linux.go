package doctor

import (
	"errors"
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

func (m Machine) lives(id string) bool { return runtimedir.Lives(m.RuntimeDir, id) }

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
	left, leftErr := kernel.FindStale(kernel.FindBPFFS(m.BPFFS, runtimedir.BPFFS(m.RuntimeDir)), m.lives)
	found = append(found, ofEngines(left)...)
	switch err := errors.Join(err, leftErr); {
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

// ofEngines has a line for each thing that is left in the kernel.
func ofEngines(left kernel.Stale) (list []string) {
	for _, id := range left.Attached {
		list = append(list, "filters of engine "+id)
	}
	for _, id := range left.Pins {
		list = append(list, "pins of engine "+id)
	}
	return list
}

// Clean removes what engines that no longer run have left behind: their filters
// on the interfaces of this network namespace, their pins in the BPF file system, that file
// system if they have mounted it, and their directories below runtimeDir. It returns a line for each thing removed.
func Clean(runtimeDir, bpffs string) ([]string, error) {
	own := runtimedir.BPFFS(runtimeDir)
	gone, err := kernel.RemoveStale(kernel.FindBPFFS(bpffs, own), Machine{RuntimeDir: runtimeDir}.lives)
	removed := ofEngines(gone)
	err = errors.Join(err, kernel.UnmountBPFFS(own))
	dirs, dirErr := runtimedir.CleanStale(runtimeDir, nil)
	for _, id := range dirs {
		removed = append(removed, "directory of engine "+id)
	}
	return removed, errors.Join(err, dirErr)
}
