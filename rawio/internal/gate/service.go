package gate

import (
	"fmt"
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
	MostConns       = 1 << 24 // the greatest number of slots
	MaxServices     = 4096
	// MinDeadAfter is the shortest time without a sign of life after which a gate may
	// take its engine for dead.
	MinDeadAfter = 500 * time.Millisecond
)
