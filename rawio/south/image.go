package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// What is in a connection's slot. The gate gets a whole image when a connection begins, here or
// in the log, and when there is a new kernel socket. In between single words of the slot change:
// the mode with the connection's state, Stable and High with each batch (see flushLive), the window's
// limit with the log's room (see limit), and what the kernel's FIN and timestamps turn out to be.

// beginSlot gives the slot to a connection, before the gate knows its flow.
func (m *Machine) beginSlot(c *Conn, i gate.Image) {
	m.trace(c, i.Stable)
	m.slotOf(c).Begin(c.gen, c.irs, &i)
	m.limit(c)
}

// renewSlot stores the image of a connection with a new kernel socket, but for its mode.
func (m *Machine) renewSlot(c *Conn, i gate.Image) {
	m.trace(c, i.Stable)
	m.slotOf(c).Renew(&i)
}

// begunImage is that of a connection whose handshake is in the log: nothing but SYN and SYN-ACK
// has been said.
func (m *Machine) begunImage(c *Conn, x *extra) gate.Image {
	i := m.socketImage(c)
	i.Mode = gate.ModeLive
	i.Stable, i.High = c.irs+1, c.irs+1
	i.SndNxt = c.iss + 1
	i.Ack, i.Edge = c.irs+1, x.edge
	i.TSVal, i.TSEcr = x.tsval, x.tsecr
	return i
}

// storedImage is that of a connection that was taken from the log: there is no kernel socket, and
// the client is told what is stable.
func (m *Machine) storedImage(c *Conn) gate.Image {
	i := m.socketImage(c)
	i.Mode = gate.ModeOutage
	i.SndNxt = c.nxt
	i.Ack, i.Edge = c.stableSeq(), c.extra.edge
	i.TSVal, i.TSEcr = c.extra.tsval, c.peerTS
	return i
}

// reopenedImage is that of a connection whose restarted server has answered with a SYN-ACK: its
// journal tells what the server has to repeat, so the new socket begins at what the client has
// acknowledged. A client that has closed must get nothing more: only the application
// has something left to read.
func (m *Machine) reopenedImage(c *Conn, synack *segment.Segment) gate.Image {
	una := c.ackedEnd()
	i := m.translatedImage(c, una-(synack.Seq+1), c.tsDelta(synack), optionsOf(synack).wscale)
	if c.closed() {
		i.Mode = gate.ModeOutage
	}
	i.Base, i.SndNxt = una, una
	i.Ack, i.Edge = synack.Ack, synack.Ack+uint32(synack.Window) // not scaled in a SYN-ACK
	i.TSVal, i.TSEcr = c.extra.tsval, c.peerTS
	return i
}

// rolledImage is that of a connection whose server was rolled forward on the wire.
func (m *Machine) rolledImage(c *Conn) gate.Image {
	r := c.extra.roll
	i := m.translatedImage(c, r.delta, r.tsDelta, r.wscale)
	i.Base, i.SndNxt = c.una, seqnum.Max(c.una, c.outputSeq(r.out))
	i.Ack, i.Edge = c.rcvNxt(), c.irs+1+uint32(r.edge)
	i.TSVal, i.TSEcr = seqnum.Max(c.extra.tsval, r.tsval+r.tsDelta), c.peerTS
	return i
}

// socketImage is what all images of a kernel socket have in common whose numbers are the client's.
func (m *Machine) socketImage(c *Conn) gate.Image {
	i := gate.Image{
		Flags: m.slotFlags(c), Stable: c.stableSeq(), High: c.high,
		KernelScale: c.server.wscale, ClientScale: c.server.wscale,
	}
	if edge, near := c.quotaEdge(); near {
		i.Limit, i.Flags = edge, i.Flags|gate.FlagLimit
	}
	return i
}

// translatedImage is the same for a socket of a restarted server. The limit of the window stays.
func (m *Machine) translatedImage(c *Conn, delta, tsDelta uint32, wscale uint8) gate.Image {
	slot := m.slotOf(c)
	return gate.Image{
		Mode:  gate.ModeLive,
		Flags: m.slotFlags(c) | slot.Flags()&gate.FlagLimit | gate.FlagXlate, Limit: slot.Limit(),
		Stable: c.stableSeq(), High: c.high,
		Delta: delta, TSDelta: tsDelta, KernelScale: wscale, ClientScale: c.server.wscale,
	}
}

// slotFlags are the flags that follow from the connection alone.
func (m *Machine) slotFlags(c *Conn) gate.SlotFlags {
	var f gate.SlotFlags
	if m.cfg.Lasting {
		f |= gate.FlagLasting
	}
	if c.server.ts() {
		f |= gate.FlagTS
	}
	if c.is(replayed) {
		f |= gate.FlagCookie
	}
	if c.server.sack() {
		f |= gate.FlagSACK
	}
	if c.wire != nil {
		f |= gate.FlagUnmodified
		if c.wire.digest != nil {
			f |= gate.FlagRecord
		}
	}
	return f
}

// updateFlags stores the flags and the limit of an adopted connection anew: the previous engine may
// have had another log, or another policy.
func (m *Machine) updateFlags(c *Conn) {
	slot := m.slotOf(c)
	slot.SetFlags(m.slotFlags(c) | slot.Flags()&gate.FlagXlate)
	m.limit(c)
}
