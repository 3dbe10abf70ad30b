package gate

import (
	"encoding/binary"
	"fmt"
)

// Sender says what a socket of the engine sends.
type Sender uint32

// The senders, as enum own in bpf/own.h has them.
const (
	// ToClient sends in the server's name: its packets leave as they are.
	ToClient Sender = 1
	// ToServer sends in a client's name, or is a client itself: its packets pass the
	// loopback device unjudged and unseen by the tap. One that is about to leave by
	// another device is held and counted (Stats.Misrouted).
	ToServer Sender = 2
	// Turns is a packet socket that sends in a client's name. Its packets arrive by
	// the interface that TurnAddress has named as their Ethernet source, as if they had
	// come from there; of an interface without Ethernet headers, by the same.
	Turns Sender = 3
)

// TurnAddress is the Ethernet source address of a packet that is to arrive by an
// interface, see Turns.
func TurnAddress(ifindex int) [6]byte {
	a := [6]byte{0x02, 0x66}
	binary.BigEndian.PutUint32(a[2:], uint32(ifindex))
	return a
}

// MaxSenders is how many sockets a gate knows as the engine's.
const MaxSenders = 256

// String returns the name.
func (s Sender) String() string {
	switch s {
	case ToClient:
		return "to the client"
	case ToServer:
		return "to the server"
	case Turns:
		return "to the server, by an interface"
	}
	return fmt.Sprintf("Sender(%d)", uint32(s))
}
