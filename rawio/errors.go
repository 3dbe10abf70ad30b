package rawio

import "github.com/ftnet/ftnet/rawio/internal/gate"

// Errors of Open, Engine.Protect and BPFFS.Open.
var (
	// ErrNotSupported is satisfied where the kernel lacks a feature that the engine needs, or
	// the process the privilege to use it.
	ErrNotSupported = gate.ErrNotSupported
	// ErrNoBPFFS is satisfied where no BPF file system is mounted.
	ErrNoBPFFS = gate.ErrNoBPFFS
	// ErrPins is satisfied where pins are not used, or made, because another user may have had
	// a hand in them.
	ErrPins = gate.ErrPins
)

// UnsupportedFeatureError is a feature that the engine needs and that the kernel lacks, or that
// the process may not use: its Name, a Remedy ("needs Linux 5.14 or newer", "run as root, or
// give …"), and Err, which is what the kernel said. It satisfies errors.Is with
// ErrNotSupported and with Err.
type UnsupportedFeatureError = gate.UnsupportedFeatureError
