package recovery

import (
	"errors"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// Leftovers are what engines that were killed have left on this host, one line of text for each
// thing. The next engine that is as before goes on with it, or removes it.
type Leftovers struct {
	Servers []string // server processes that live; while there are some, connections may
	Others  []string // directories, filters on interfaces and pins of engines that do not live
}

// FindLeftovers looks below a runtime directory, in the BPF file system that engines with that
// directory and bpffs pin their gates in, and in the calling thread's network namespace. It
// touches nothing, and with an error it returns what it has found all the same.
// The empty runtimeDir is the default.
func FindLeftovers(runtimeDir, bpffs string) (left Leftovers, err error) {
	left.Servers, _ = predecessor.List(runtimeDir) // what cannot be looked for is said of the directory
	dirs, err := runtimedir.List(runtimeDir)
	for _, d := range dirs {
		if !d.Alive {
			left.Others = append(left.Others, "the directory of engine "+d.ID)
		}
	}
	inKernel, kerr := rawio.FindLeftovers(pinsAt(runtimeDir, bpffs), livesAt(runtimeDir))
	left.Others = append(left.Others, ofEngines(inKernel)...)
	return left, errors.Join(err, kerr)
}

// RemoveLeftovers ends and removes what FindLeftovers finds, and the BPF file system that engines
// have mounted, if nothing is left in it. It returns a line for each thing removed, with an
// error, too. If a server process cannot be ended, no more than that is done.
func RemoveLeftovers(runtimeDir, bpffs string) (removed []string, err error) {
	if removed, err = predecessor.End(runtimeDir); err != nil {
		return removed, err
	}
	gone, err := rawio.RemoveLeftovers(pinsAt(runtimeDir, bpffs), livesAt(runtimeDir))
	removed = append(removed, ofEngines(gone)...)
	dirs, derr := runtimedir.CleanStale(runtimeDir, nil)
	for _, id := range dirs {
		removed = append(removed, "directory of engine "+id)
	}
	return removed, errors.Join(err, derr)
}

// ofEngines has a line for each thing that is left in the kernel.
func ofEngines(left rawio.Leftovers) (list []string) {
	for _, id := range left.Attached {
		list = append(list, "filters of engine "+id)
	}
	for _, id := range left.Pins {
		list = append(list, "pins of engine "+id)
	}
	return list
}

// livesAt tells which engines live: their directories may be elsewhere.
func livesAt(runtimeDir string) func(id string) bool {
	return func(id string) bool { return runtimedir.Lives(runtimeDir, id) }
}

// pinsAt is where engines with this runtime directory pin their gates.
func pinsAt(runtimeDir, bpffs string) rawio.BPFFS {
	return rawio.BPFFS{Path: bpffs, Own: runtimedir.BPFFS(runtimeDir)}
}
