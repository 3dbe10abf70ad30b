package gate

import (
	"errors"
	"fmt"
)

// Errors of the gate.
var (
	// ErrNotSupported is returned when the kernel lacks a feature that the gate
	// needs, or the process the privilege to use it.
	ErrNotSupported = errors.New("gate: not supported")
	// ErrDevice is returned by Attach for an interface whose packets carry
	// neither an Ethernet header nor a bare IP packet.
	ErrDevice = errors.New("gate: unsupported link type")
	// ErrExcluded is returned by Attach for an interface with a qdisc that excludes
	// clsact ("ingress"), on a kernel without tcx.
	ErrExcluded = errors.New("gate: a qdisc of the interface excludes clsact")
	// ErrAway is what Mend reports of a gate that somebody had removed.
	ErrAway = errors.New("gate: the gate was removed from the interface")
	// ErrBehind is what Mend reports of a gate behind another program that somebody had attached.
	ErrBehind = errors.New("gate: another program runs before the gate")
	// ErrUnwatched is what MendReleases reports of a program that somebody had removed.
	ErrUnwatched = errors.New("gate: the program that notes releases of sockets was removed")
	// ErrUnpinned is what MendPins reports of pins that somebody had removed.
	ErrUnpinned = errors.New("gate: pins were removed")
	// ErrNoGate is returned by Adopt if the engine has left no gate here.
	ErrNoGate = errors.New("gate: the engine has left no gate")
	// ErrLayout is returned by Adopt if the gate's maps are not those that this
	// version knows.
	ErrLayout = errors.New("gate: the maps have another layout")
	// ErrNoBPFFS is returned where no BPF file system is mounted.
	ErrNoBPFFS = errors.New("gate: no BPF file system")
	// ErrPins is returned when pins are not used, or made, because another user may
	// have changed them.
	ErrPins = errors.New("gate: pins are not trusted")
	// ErrTakenOver is returned by Beat, and by Adopt, when a younger engine has the gate.
	ErrTakenOver = errors.New("gate: another engine has taken it over")
	// ErrSlot is returned by Bind for a slot number outside 0..MaxConns-1.
	ErrSlot = errors.New("gate: no such slot")
)

// UnsupportedFeatureError is a feature that the gate needs and that the kernel lacks, or
// that the process may not use. It satisfies errors.Is with ErrNotSupported, and with
// the kernel's error.
type UnsupportedFeatureError struct {
	Name   string // of the feature: "BPF ring buffer"
	Remedy string // what helps: "needs Linux 5.14 or newer", "run as root, or give CAP_BPF …"
	Err    error  // the kernel's error
}

func (e *UnsupportedFeatureError) Error() string {
	return fmt.Sprintf("gate: %s: %v (%s)", e.Name, e.Err, e.Remedy)
}

// Unwrap returns the kernel's error.
func (e *UnsupportedFeatureError) Unwrap() error { return e.Err }

// Is reports whether target is ErrNotSupported.
func (e *UnsupportedFeatureError) Is(target error) bool { return target == ErrNotSupported }
