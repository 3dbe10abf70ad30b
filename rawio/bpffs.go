package rawio

import (
	"errors"

	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// DefaultBPFFS is where the BPF file system of a host usually is.
const DefaultBPFFS = "/sys/fs/bpf"

// BPFFS says where the BPF file system is in which engines pin their gates. What is pinned
// outlives its engine, for the next one (Config.Adopt).
type BPFFS struct {
	// Path is where the host has one, usually DefaultBPFFS.
	Path string
	// Own is where engines mount one if there is none at Path: another path, in a directory
	// of theirs. Empty: they do not.
	Own string
}

// Open returns the path of the file system, for Config.BPFFS: Own if an engine has mounted one
// there, else Path, else Own, where it mounts one; that takes CAP_SYS_ADMIN in the mount
// namespace. The error says why no gate can be pinned: it satisfies errors.Is with ErrNoBPFFS
// or ErrPins, or is another. An engine can be opened with the path all the same.
//
// release gives the file system up when the engine is closed. What engines have mounted is
// unmounted with the last one, unless a dead one has left pins in it.
func (b BPFFS) Open() (path string, release func() error, err error) {
	fs, err := kernel.OpenBPFFS(b.Path, b.Own)
	if err != nil {
		return b.Path, func() error { return nil }, err
	}
	return fs.Path, fs.Close, kernel.MayPin(fs.Path)
}

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
