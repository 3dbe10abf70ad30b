package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// The content of a connection's slot. A whole image is stored when a connection begins or is restored
// from the log, and when it gets a new kernel socket. In between single words of the slot change:
// the mode with the connection's state, Stable and High with each batch (see flushLive), the window's
// limit with the log's room (see limit), and the record of the kernel's FIN and timestamps.

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

// begunImage returns the image of a connection whose handshake is in the log: nothing but SYN and SYN-ACK
// was sent.
func (m *Machine) begunImage(c *Conn, x *extra) gate.Image {
	i := m.socketImage(c)
	i.Mode = gate.ModeLive
	i.Stable, i.High = c.irs+1, c.irs+1
	i.SndNxt = c.iss + 1
	i.Ack, i.Edge = c.irs+1, x.edge
	i.TSVal, i.TSEcr = x.tsval, x.tsecr
	return i
}

// storedImage returns the image of a connection that was restored from the log: there is no kernel
// socket, and what is stable is acknowledged.
func (m *Machine) storedImage(c *Conn) gate.Image {
	i := m.socketImage(c)
	i.Mode = gate.ModeOutage
	i.SndNxt = c.nxt
	i.Ack, i.Edge = c.stableSeq(), c.extra.edge
	i.TSVal, i.TSEcr = c.extra.tsval, c.peerTS
	return i
}

// reopenedImage returns the image of a connection whose restarted server has answered with a SYN-ACK.
// The north side discards repeated output by its journal, so the new socket's stream begins at what
// the client has acknowledged. If both sides have closed, nothing may pass any more: only the
// application has something left to read.
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

// rolledImage returns the image of a connection whose server was rolled forward on the wire.
func (m *Machine) rolledImage(c *Conn) gate.Image {
	r := c.extra.roll
	i := m.translatedImage(c, r.delta, r.tsDelta, r.wscale)
	i.Base, i.SndNxt = c.una, seqnum.Max(c.una, c.outputSeq(r.out))
	i.Ack, i.Edge = c.rcvNxt(), c.irs+1+uint32(r.edge)
	i.TSVal, i.TSEcr = seqnum.Max(c.extra.tsval, r.tsval+r.tsDelta), c.peerTS
	return i
}

// socketImage returns the common part of the images of connections without a translation.
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

// translatedImage is the same for connections with a translation. The window's limit stays.
func (m *Machine) translatedImage(c *Conn, delta, tsDelta uint32, wscale uint8) gate.Image {
	slot := m.slotOf(c)
	return gate.Image{
		Mode:  gate.ModeLive,
		Flags: m.slotFlags(c) | slot.Flags()&gate.FlagLimit | gate.FlagXlate, Limit: slot.Limit(),
		Stable: c.stableSeq(), High: c.high,
		Delta: delta, TSDelta: tsDelta, KernelScale: wscale, ClientScale: c.server.wscale,
	}
}

// slotFlags returns the flags that depend on the connection alone.
func (m *Machine) slotFlags(c *Conn) gate.SlotFlags {
	var f gate.SlotFlags
	if m.cfg.Lasting {
		f |= gate.FlagLasting
	}
	if c.server.ts() {
		f |= gate.FlagTS
	}
	if c.is(cookieSocket) {
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
