package journal

import "net/netip"

// State is where a connection stands between engine and server process.
//
//	FREE --Publish--> BOUND --Accept--> ACCEPTED --Close--> CLOSING
//	                    ^                   |  (process died)
//	                    +--PrepareRecovery--+
//
// Withdraw leads back to FREE from everywhere. It takes effect at once unless
// the server process may still write to the record; then it is put off until
// the process has released it or died.
type State uint8

const (
	Free     State = iota // no connection
	Bound                 // published by the engine, not accepted yet
	Accepted              // a server process owns it
	Closing               // the server process has called Close on it
)

func (s State) String() string {
	switch s {
	case Free:
		return "free"
	case Bound:
		return "bound"
	case Accepted:
		return "accepted"
	case Closing:
		return "closing"
	}
	return "invalid"
}

// The word of a head: generation in the upper half, flags and state below.
const (
	stateMask    = 0xff
	flagReleased = 1 << 8 // north: will not touch the record again
	flagEnded    = 1 << 9 // engine: withdrawn while north may still touch it
)

func makeWord(gen uint32, s State) uint64 { return uint64(gen)<<32 | uint64(s) }
func wordGen(w uint64) uint32             { return uint32(w >> 32) }
func wordState(w uint64) State            { return State(w & stateMask) }

// Flow names a connection by its two endpoints. Addresses may be given
// v4-mapped or with a zone; both are ignored.
type Flow struct{ Client, Server netip.AddrPort }

// flowWords is the form in which a flow lies in the memory.
func flowWords(f Flow) (w [5]uint64) {
	c, s := f.Client.Addr().As16(), f.Server.Addr().As16()
	for i := range 8 {
		w[0] = w[0]<<8 | uint64(c[i])
		w[1] = w[1]<<8 | uint64(c[i+8])
		w[2] = w[2]<<8 | uint64(s[i])
		w[3] = w[3]<<8 | uint64(s[i+8])
	}
	w[4] = uint64(f.Client.Port())<<16 | uint64(f.Server.Port())
	return w
}

func wordsFlow(w [5]uint64) Flow {
	var c, s [16]byte
	for i := range 8 {
		shift := 56 - 8*i
		c[i], c[i+8] = byte(w[0]>>shift), byte(w[1]>>shift)
		s[i], s[i+8] = byte(w[2]>>shift), byte(w[3]>>shift)
	}
	return Flow{
		Client: netip.AddrPortFrom(netip.AddrFrom16(c).Unmap(), uint16(w[4]>>16)),
		Server: netip.AddrPortFrom(netip.AddrFrom16(s).Unmap(), uint16(w[4])),
	}
}
