package gate

// GateSide has a gate's operations on its own words of a slot, for a gate in Go. An engine does not use
// it. The BPF programs do the same to `struct slot`.
type GateSide struct{ slot *Slot }

// GateSide returns the slot for a gate in Go.
func (s *Slot) GateSide() GateSide { return GateSide{s} }

// CountEgress counts a packet at egress.
func (g GateSide) CountEgress() { g.slot.egress.Add(1) }

// CountHeldIn counts an ingress packet that is held.
func (g GateSide) CountHeldIn() { g.slot.heldIn.Add(1) }

// CountBareACK counts a held segment without data, FIN or RST.
func (g GateSide) CountBareACK() { g.slot.hflags.Add(bareACK) }

// Hold notes that an ACK above stable, or a SACK block above high, of a segment with these
// ECN bits is about to be held or lowered. Read Stable or High again afterwards: see Slot.
func (g GateSide) Hold(ecn uint8) {
	g.slot.hflags.Store(g.slot.hflags.Load()&^(bareACK-1) | uint32(ecn))
	g.slot.held.Swap(1)
}

// Abort notes that a RST has passed that the application meant.
func (g GateSide) Abort() { g.slot.fin.Or(finRST) }

// Open notes that the gate opens the connection; the first reason stays.
func (g GateSide) Open(why Opened) { g.slot.opened.CompareAndSwap(uint32(OpenedNo), uint32(why)) }
