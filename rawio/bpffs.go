package rawio

import "github.com/ftnet/ftnet/rawio/internal/gate/kernel"

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
