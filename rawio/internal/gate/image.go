package gate

// Image is the content of a slot for a connection that begins or gets a new kernel
// socket. Sequence numbers are in the client's spaces, as in [Slot].
type Image struct {
	Mode  Mode // from when the rest is stored
	Flags SlotFlags
	Limit uint32 // right window edge; FlagLimit only

	Stable uint32 // highest ACK number that may leave
	High   uint32 // below it the tap has seen all

	// The translation. Without FlagXlate it is not used.
	Delta, TSDelta           uint32
	Base                     uint32 // number of the kernel socket's first byte
	KernelScale, ClientScale uint8  // window shifts, 0..14

	// Initial values of the gate's own record of the kernel's socket.
	SndNxt       uint32 // end of what was sent
	Ack, Edge    uint32 // newest ACK number, and right window edge
	TSVal, TSEcr uint32 // newest timestamps
}

// Begin gives the slot to a new connection, the generation gen of the slot, whose client's
// initial sequence number is irs. The flow must not be bound to the slot yet. The mode is stored
// last: once the gate judges by the slot, all of the image is there.
func (s *Slot) Begin(gen, irs uint32, i *Image) {
	s.Reset()
	s.setGen(gen)
	s.setIRS(irs)
	s.fill(i)
	s.SetMode(i.Mode)
}

// Renew stores an image for a connection that gets a new kernel socket, but not its mode: the
// caller sets that last. Until then the mode must be one
// that holds all packets in both directions. The gate's record of the previous socket is
// cleared, except for what ResetGate keeps.
func (s *Slot) Renew(i *Image) {
	s.ResetGate()
	s.fill(i)
}

// fill stores what no mode that holds all packets reads. The limit precedes its flag.
func (s *Slot) fill(i *Image) {
	s.setTranslation(i.Delta, i.TSDelta)
	s.setBase(i.Base)
	s.setScales(i.KernelScale, i.ClientScale)
	s.SetLimit(i.Limit)
	s.SetFlags(i.Flags)
	s.SetStable(i.Stable)
	s.SetHigh(i.High)
	s.SetSndNxt(i.SndNxt)
	s.SetAck(i.Ack, i.Edge)
	s.SetTS(i.TSVal, i.TSEcr)
}
