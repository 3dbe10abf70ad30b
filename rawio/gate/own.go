package gate

import "fmt"

// Sender says whom a socket of the engine's talks to.
type Sender uint32

// The senders, as enum own in bpf/own.h has them.
const (
	// ToClient sends in the server's name: its packets leave as they are.
	ToClient Sender = 1
	// ToServer sends in a client's name, or is a client itself: its packets pass the
	// loopback device unjudged and unseen by the tap. One that is about to leave by
	// another device is held and counted (Stats.Astray).
	ToServer Sender = 2
)

// MaxSenders is how many sockets a gate knows as the engine's.
const MaxSenders = 256

// String returns the name.
func (s Sender) String() string {
	switch s {
	case ToClient:
		return "to the client"
	case ToServer:
		return "to the server"
	}
	return fmt.Sprintf("Sender(%d)", uint32(s))
}
