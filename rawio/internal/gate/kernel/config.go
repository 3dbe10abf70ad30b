package kernel

import (
	"fmt"
	"os"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Config configures a gate.
type Config struct {
	// MaxConns is the number of slots, and so of connections. 0 means
	// DefaultMaxConns. Each costs SlotSize bytes of kernel memory.
	MaxConns int
	// ID names the engine in the names of its tc filters, so that engines on
	// one interface tell theirs apart. Required: eight lower-case hex digits.
	ID string
	// Epoch orders the engines that have the ID one after another: an engine that takes the gate
	// over from another one has a greater one. See Gate.Beat.
	Epoch uint64
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
	// next engine can adopt it, see Adopt. Empty means that it is not. What stands in
	// the way of it is no error, but see Gate.Pins.
	BPFFS string
}

// Pins tells whether the next engine can find a gate.
type Pins struct {
	// Dir holds the pins: below Config.BPFFS, named after network namespace and
	// engine, its user's alone. If it is empty there are none, and Err says why.
	Dir string
	Err error
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = gate.DefaultMaxConns
	}
	if c.OutputBuffer == 0 {
		c.OutputBuffer = os.Getpagesize()
	}
	return c
}

func (c Config) validate() error {
	if c.MaxConns < 1 || c.MaxConns > gate.MostConns {
		return fmt.Errorf("gate: MaxConns %d is not in 1..%d", c.MaxConns, gate.MostConns)
	}
	if n := c.OutputBuffer; n < os.Getpagesize() || n > 1<<30 || n&(n-1) != 0 {
		return fmt.Errorf("gate: OutputBuffer %d is no power of two in %d..%d", n, os.Getpagesize(), 1<<30)
	}
	if c.DeadAfter != 0 && c.DeadAfter < gate.MinDeadAfter {
		return fmt.Errorf("gate: DeadAfter %v is below %v", c.DeadAfter, gate.MinDeadAfter)
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
