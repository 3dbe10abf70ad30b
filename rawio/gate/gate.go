package gate

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Socket priorities by which the application says that a FIN or RST is meant.
// Values 0 to 6 need no privilege, and the kernel derives neither of these two
// from a TOS.
const (
	PrioClose uint32 = 3 // the connection is closed or aborted: FIN and RST may leave
	PrioShut  uint32 = 5 // the sending side is shut down: a FIN may leave
)

// ServiceState is the state of a protected port.
type ServiceState uint32

const (
	ServiceListen ServiceState = 1 // new connections are let in
	ServiceOutage ServiceState = 2 // SYNs are held until the server listens again
	// ServiceHold holds everything, in both directions, but what belongs to a
	// bound flow: it is not known yet which connections there are.
	ServiceHold ServiceState = 3
)

// SERVICE_STATE, SERVICE_UNMODIFIED and SERVICE_TRANSPARENT in bpf/maps.h.
const (
	serviceState       = 1<<8 - 1
	serviceUnmodified  = 1 << 8
	serviceTransparent = 1 << 9
)

// Service is a protected port.
type Service struct {
	Port       uint16
	State      ServiceState
	Unmodified bool
}

// String returns the state's name.
func (s ServiceState) String() string {
	switch s {
	case ServiceListen:
		return "listen"
	case ServiceOutage:
		return "outage"
	case ServiceHold:
		return "hold"
	}
	return fmt.Sprintf("ServiceState(%d)", uint32(s))
}

// Limits of a gate.
const (
	DefaultMaxConns = 65536
	// MostConns is the most that Config.MaxConns may be.
	MostConns    = 1 << 24
	MaxServices  = 4096
	MinDeadAfter = 500 * time.Millisecond
)

// spareFlows is for how many bound flows there is room beside one for each slot: for two
// of BindProof, and for one of each service that shares its slot with others.
const spareFlows = 2 + MaxServices

// Config configures a gate.
type Config struct {
	// MaxConns is the number of slots, and so of connections. 0 means
	// DefaultMaxConns. Each costs SlotSize bytes of kernel memory.
	MaxConns int
	// ID names the engine in the names of its tc filters, so that engines on
	// one interface tell theirs apart. Required: eight lower-case hex digits.
	ID string
	// OutputBuffer is the size in bytes of the ring that Outputs are captured
	// in: a power of two, at least a page. A packet takes the next power of two
	// from 256 bytes on, one above 32 KiB takes 66 KiB. What does not fit is
	// held, so less than 256 KiB serves small packets only. 0 means one page,
	// for an engine that uses neither FlagRecord nor ModeRoll.
	OutputBuffer int
	// DeadAfter is for how long the gate holds what it has to hold while the
	// engine gives no sign of life (see Gate.Beat): after that it lets everything
	// pass, and notes in the slots which connections can no longer be protected
	// (see Slot.Opened). At least MinDeadAfter; 0 means for ever.
	DeadAfter time.Duration
	// Mark is the mark (SO_MARK) that rule sets see of what the engine sends to the
	// server. Default 0.
	Mark uint32
	// LoopbackCarries says that the loopback device has the gate only for what the
	// engine sends to the server: else nothing is judged there.
	LoopbackCarries bool
	// BPFFS is a mounted BPF file system in which the gate is pinned, so that the
	// next engine can adopt it, see Adopt. Empty means that it is not; see
	// DefaultBPFFS. What stands in the way of it is no error, but see Gate.Pins.
	BPFFS string
}

// DefaultBPFFS is where the BPF file system of a host usually is.
const DefaultBPFFS = "/sys/fs/bpf"

// Pins tells how the next engine can find a gate, and how this one has.
type Pins struct {
	// Dir holds the pins: below Config.BPFFS, named after network namespace and
	// engine, its user's alone. If it is empty there are none, and Err says why.
	Dir string
	Err error
	// Passed is, after Adopt, nil if the gate was found by its pins; else why the
	// interfaces' filters and the kernel's numbers had to tell.
	Passed error
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.OutputBuffer == 0 {
		c.OutputBuffer = os.Getpagesize()
	}
	return c
}

func (c Config) validate() error {
	if c.MaxConns < 1 || c.MaxConns > MostConns {
		return fmt.Errorf("gate: MaxConns %d is not in 1..%d", c.MaxConns, MostConns)
	}
	if n := c.OutputBuffer; n < os.Getpagesize() || n > 1<<30 || n&(n-1) != 0 {
		return fmt.Errorf("gate: OutputBuffer %d is no power of two in %d..%d", n, os.Getpagesize(), 1<<30)
	}
	if c.DeadAfter != 0 && c.DeadAfter < MinDeadAfter {
		return fmt.Errorf("gate: DeadAfter %v is below %v", c.DeadAfter, MinDeadAfter)
	}
	if len(c.ID) != 8 {
		return fmt.Errorf("gate: ID %q is not eight hex digits", c.ID)
	}
	for _, r := range c.ID {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return fmt.Errorf("gate: ID %q is not eight hex digits", c.ID)
		}
	}
	return nil
}

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
	// ErrAway is what Mend tells of a gate that somebody had taken away.
	ErrAway = errors.New("gate: somebody has taken the gate off the interface")
	// ErrBehind is what Mend tells of a gate that others had put something before.
	ErrBehind = errors.New("gate: somebody has put something before the gate")
	// ErrUnwatched is what MendReleases tells of a program that somebody had taken away.
	ErrUnwatched = errors.New("gate: somebody has taken away the program that notes releases of sockets")
	// ErrUnpinned is what MendPins tells of pins that somebody had removed.
	ErrUnpinned = errors.New("gate: somebody has removed pins")
	// ErrNoGate is returned by Adopt if the engine has left no gate here.
	ErrNoGate = errors.New("gate: the engine has left no gate")
	// ErrLayout is returned by Adopt if the gate's maps are not those that this
	// version knows.
	ErrLayout = errors.New("gate: the maps have another layout")
	// ErrNoBPFFS is returned where no BPF file system is mounted.
	ErrNoBPFFS = errors.New("gate: no BPF file system")
	// ErrPins is returned when pins are not used, or made, because another user may
	// have had a hand in them.
	ErrPins = errors.New("gate: pins are not trusted")
	// ErrSlot is returned by Bind for a slot number outside 0..MaxConns-1.
	ErrSlot = errors.New("gate: no such slot")
)
