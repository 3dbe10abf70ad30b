package rawio

import (
	"errors"

	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// Leftovers are what engines that do not live have left in the kernel and no engine will take
// over, by the engines' IDs.
type Leftovers struct {
	// Attached are those with programs on interfaces of the calling thread's network namespace.
	Attached []string
	// Pins are those with pins whose programs are on no interface any more. Pins of other
	// network namespaces that exist are for the next engine there.
	Pins []string
}

// FindLeftovers looks for leftovers in the calling thread's network namespace and in the BPF
// file system, and touches nothing. lives says whether the engine with an ID does. With an
// error it returns what it has found all the same.
func FindLeftovers(at BPFFS, lives func(id string) bool) (Leftovers, error) {
	left, err := kernel.FindStale(kernel.FindBPFFS(at.Path, at.Own), lives)
	return Leftovers(left), err
}

// RemoveLeftovers removes what FindLeftovers finds, and then the file system at Own, if no
// engine uses it and nothing is left in it. It returns what it has removed, with an error, too.
func RemoveLeftovers(at BPFFS, lives func(id string) bool) (Leftovers, error) {
	gone, err := kernel.RemoveStale(kernel.FindBPFFS(at.Path, at.Own), lives)
	return Leftovers(gone), errors.Join(err, kernel.UnmountBPFFS(at.Own))
}
