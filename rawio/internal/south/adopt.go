package south

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Adopting is recovery after the engine alone has gone: the server process, the
// kernel's sockets and the gate live on.
//
//	             Adopt
//	slot live   ─────────► Established, what the client has acknowledged is asked for
//	in an outage ────────► Outage, as Restore does, in the slot that it has
//	went open   ─────────► Open
//
// What the log holds is what was received: the client retransmits the rest, which was not
// acknowledged. The slot has SND.NXT. SND.UNA is learned from the client's next segment; until then
// the client is assumed to have everything, and in a crash to lack as much as its window ever
// allowed.

const whyReset = "it was reset under the engine before"

// Inherit takes the flows that the gate of an engine that is gone has bound, with their slots. It is
// called before all other methods. Those slots are not used again before Adopt, Restore or
// ReleaseInherited was called for their port.
func (m *Machine) Inherit(flows map[segment.Flow]uint32) {
	m.inherited = flows
	used := map[uint32]bool{}
	n := uint32(0)
	for _, slot := range flows {
		used[slot] = true
		n = max(n, min(slot+1, m.cfg.MaxConns))
	}
	for i := range n {
		m.slots = append(m.slots, slotEntry{gen: m.gate.Slot(i).Gen()})
		if !used[i] {
			m.free.give(i)
		}
	}
}

// Adopt is Protect for a port whose server lives on and whose engine is gone. list has
// the port's connections in the log; outage says that the gate held its SYNs. Adopt
// returns how many connections were taken over.
func (m *Machine) Adopt(port uint16, s Service, outage bool, list []Stored) int {
	m.readClock()
	svc := m.service(port, s)
	if outage && !svc.outage {
		svc.since, svc.crashed = m.now, m.now
		svc.outage, svc.busy, svc.queue, svc.inflight = true, false, nil, 0
	}
	n := 0
	for i := range list {
		if m.adoptStored(svc, &list[i]) {
			n++
		}
	}
	for _, flow := range m.inheritedBy(port) {
		slot := m.inherited[flow]
		delete(m.inherited, flow)
		m.adoptSlot(svc, flow, slot)
	}
	m.gate.SetService(port, svc.outage, s.Unmodified)
	m.Stats.Adopted += uint64(n)
	m.lagging = true
	m.Flush()
	return n
}

// Protects reports whether a port is protected.
func (m *Machine) Protects(port uint16) bool { return m.services[port] != nil }

// adoptStored takes over a connection that is in the log and in a slot, and reports whether it
// is one. One that no slot has was over, or nothing of it had left.
func (m *Machine) adoptStored(svc *service, s *Stored) bool {
	flow := segment.Flow(s.Meta.Flow)
	i, bound := m.inherited[flow]
	a, err := s.agreed()
	if !bound || err != nil || i >= uint32(len(m.slots)) || m.gate.Slot(i).IRS() != a.irs || m.conns.get(flow) != nil {
		_ = m.log.Delete(s.Meta.ID)
		return false
	}
	slot := m.gate.Slot(i)
	mode := slot.Mode()
	if mode == gate.ModeFree || mode == gate.ModeOpen { // left to adoptSlot
		_ = m.log.Delete(s.Meta.ID)
		return false
	}
	delete(m.inherited, flow)
	over := overInOutage(svc, s, slot)
	crashed := svc.Unmodified && slot.Released() == gate.ReleasedCrashed
	state := Outage
	if mode == gate.ModeLive && !crashed || over || slot.Aborted() {
		state = Established
	}
	c := m.stored(svc, s, &a, state)
	m.place(c, i)
	read := c.start().In
	for _, r := range s.Reads {
		read += int64(r.Length) * int64(r.Count)
	}
	var unrecorded error
	if !svc.Unmodified {
		unrecorded = m.record.Adopt(c.slot, c.gen, flow, read)
	}
	if state == Outage {
		m.adoptOutage(c, s, &a, unrecorded == nil)
	} else {
		m.adoptLive(c, s)
		m.watchBypass(c)
		m.judgeAdopted(c, unrecorded, over)
	}
	if c.state != Closed && c.state != Open && s.Meta.Tag != tag(c.slot, c.gen) {
		m.note(c)
	}
	return true
}

// place puts c into the slot that the gate has for it.
func (m *Machine) place(c *Conn, slot uint32) {
	e := &m.slots[slot]
	c.slot, c.gen = slot, e.gen
	e.conn = c
	m.conns.put(c)
}

// overInOutage reports whether the gate holds a translated connection's packets
// because the connection is over, see finished, and not because of an outage of the service or
// of its own process.
func overInOutage(svc *service, s *Stored, slot *gate.Slot) bool {
	_, closed := slot.FIN()
	return slot.Mode() == gate.ModeOutage && closed && s.Meta.Finished && !svc.outage &&
		slot.Flags()&gate.FlagXlate != 0 && slot.Released() != gate.ReleasedCrashed
}

// adoptLive initializes c from its slot.
func (m *Machine) adoptLive(c *Conn, s *Stored) {
	slot, o := m.slotOf(c), &s.Meta.Output
	out, _ := slot.Out()
	c.in, c.out = uint32(slot.In()), uint32(out)
	c.set(unaUnknown | adopted | ackPending)
	sent := slot.SndNxt()
	c.una, c.nxt = sent, sent
	c.unaOff = c.unwrapOutput(sent, o)
	if _, passed := slot.FIN(); !passed && !c.svc.Unmodified && m.head(c).Output == c.unaOff-1 { // the gate has held a FIN
		c.una, c.nxt, c.unaOff = sent-1, sent-1, c.unaOff-1
	}
	if c.server.ts() {
		c.peerTS, c.tsAt = slot.TSEcr(), m.seconds()
	}
	c.acked = slot.Stable()
	xlate := slot.Flags() & gate.FlagXlate
	if xlate != 0 {
		c.set(recovered | restored)
		c.recoveries, c.resume = 1, -1
		c.advertised = c.acked + minOffer
		x := c.ensureExtra()
		x.liveAt, x.retryAt, x.tsval, x.edge = m.now, m.now, slot.TSVal(), c.acked
	}
	switch end, ok := slot.FIN(); {
	case o.Closed: // the client has acknowledged the FIN; the slot may be of a later socket
		c.set(finSent | finReported | finAcked)
		c.finEnd = c.iss + 1 + uint32(o.End) + 1
		c.una, c.unaOff = c.finEnd, o.End+1
		c.nxt = seqnum.Max(c.nxt, c.finEnd)
	case ok:
		c.meantFIN(end)
	case xlate != 0: // an earlier socket may have sent one
		c.set(finDoubtful)
	}
	if c.svc.Unmodified {
		m.adoptWire(c)
	}
	if slot.Flags()&gate.FlagCookie != 0 {
		c.set(cookieSocket)
	}
	m.updateFlags(c)
	// A keepalive probe is due now, and then at the usual interval.
	c.probedAt = (m.millis() - uint32(m.cfg.KeepAlive/1e6)) | 1
	m.watch(c)
	m.noteReads(c)
	m.touch(c)
}

// adoptWire begins the record of an unmodified server's output anew: output from before the
// adoption is not compared.
func (m *Machine) adoptWire(c *Conn) {
	c.set(restored)
	c.wire = newWire(c.svc.Compare, c.client.mss)
	off := c.outputOff(c.sentEnd())
	c.wire.ackedAtInput, c.wire.ackedAtClose = off, off
	if c.wire.digest != nil {
		c.wire.digest = newDigest(off, c.wire.digest.grain)
		c.wire.digest.loose = true
	}
}

// judgeAdopted ends the protection of a connection that the gate has opened, or whose record
// is missing.
func (m *Machine) judgeAdopted(c *Conn, unrecorded error, over bool) {
	slot := m.slotOf(c)
	switch {
	case slot.Aborted(): // the kernel has no socket, and answers a client that has not got the RST by another
		m.end(c, "reset by the server")
	case slot.Opened():
		m.wasOpened(c)
	case over:
		c.set(finAcked)
		m.finished(c)
	case unrecorded != nil:
		m.unprotect(c, reason.NoRecord, unrecorded.Error())
	}
}

// adoptOutage takes over a connection that was in an outage, or being opened again, or
// whose process has crashed. The slot's SND.NXT is not used: it may count a FIN that was held.
func (m *Machine) adoptOutage(c *Conn, s *Stored, a *agreed, recorded bool) {
	slot := m.slotOf(c)
	slot.SetMode(gate.ModeOutage)
	m.beginRestore(c, s, a)
	if c.svc.Unmodified || !recorded {
		m.restoreRecord(c, s)
	}
	slot.SetReleased(gate.ReleasedNo)
	m.renewSlot(c, m.storedImage(c))
	m.limit(c)
	m.kernel.Destroy(c.Flow)
	m.watch(c)
	if slot.Opened() {
		m.reset(c, string(reason.EngineStall))
	}
}

// adoptSlot deals with a flow that only the gate has: the log has deleted the connection
// because it was over.
func (m *Machine) adoptSlot(svc *service, flow segment.Flow, i uint32) {
	slot := m.gate.Slot(i)
	mode, xlate := slot.Mode(), slot.Flags()&gate.FlagXlate != 0
	if mode == gate.ModeFree || !xlate && (mode == gate.ModeLive || mode == gate.ModeOpen) || int(i) >= len(m.slots) {
		m.dropInherited(flow, i)
		return
	}
	state, over := Resetting, (mode == gate.ModeRoll || mode == gate.ModeOpen) && slot.Flags()&gate.FlagOver != 0
	switch {
	case over, mode == gate.ModeLive: // only the kernel may still send something
		state = Lingering
	case mode == gate.ModeOpen:
		state = Open
	}
	c := m.newConn(svc, flow, state)
	c.irs, c.una, c.nxt = slot.IRS(), slot.SndNxt(), slot.SndNxt()
	c.stable = int64(max(seqnum.Diff(slot.Stable(), c.irs+1), 0))
	c.received = c.stable
	if svc.Unmodified {
		c.wire = newWire(svc.Compare, 0)
	}
	m.place(c, i)
	x := c.ensureExtra()
	switch state {
	case Resetting:
		x.reason, x.expireAt = whyReset, m.now+resetLife
		m.kernel.Destroy(flow)
	case Lingering:
		c.set(recovered)
		x.expireAt = m.now + timeWait
		if mode == gate.ModeRoll { // see captureRest
			c.set(finAcked | finLogged)
			c.finEnd = c.nxt
			break
		}
		x.reason = string(reason.Inherited)
		slot.SetFlags(slot.Flags() | gate.FlagOver) // for the next engine
		slot.SetMode(gate.ModeOpen)
	case Open:
		c.set(recovered)
		if _, closed := slot.FIN(); closed || slot.Noted() || slot.Released() == gate.ReleasedClosed { // there is nothing to protect
			x.reason = string(reason.ServerEnded)
			break
		}
		x.reason = string(reason.Inherited)
		m.reportUnprotected(c, reason.Inherited, "")
	}
	m.watch(c)
}

// ReleaseInherited frees what the predecessor has left of a port that is not adopted: sockets, flows
// and slots.
func (m *Machine) ReleaseInherited(port uint16) {
	for _, flow := range m.inheritedBy(port) {
		m.kernel.Destroy(flow)
		m.dropInherited(flow, m.inherited[flow])
	}
}

// inheritedBy returns the inherited flows of a port, in the order of their slots.
func (m *Machine) inheritedBy(port uint16) (flows []segment.Flow) {
	for flow := range m.inherited {
		if flow.Server.Port() == port {
			flows = append(flows, flow)
		}
	}
	slices.SortFunc(flows, func(a, b segment.Flow) int { return cmp.Compare(m.inherited[a], m.inherited[b]) })
	return flows
}

// releaseOldSlot frees the inherited slot of a flow that has got another one.
func (m *Machine) releaseOldSlot(flow segment.Flow, slot uint32) {
	i, ok := m.inherited[flow]
	if !ok {
		return
	}
	delete(m.inherited, flow)
	if i != slot && int(i) < len(m.slots) {
		m.gate.Slot(i).SetMode(gate.ModeFree)
		m.free.give(i)
	}
}

func (m *Machine) dropInherited(flow segment.Flow, slot uint32) {
	delete(m.inherited, flow)
	m.gate.Slot(slot).SetMode(gate.ModeFree)
	m.gate.Unbind(flow)
	if int(slot) < len(m.slots) {
		m.free.give(slot)
	}
}

// learnUna takes SND.UNA from the first acknowledgment of an adopted connection's client that is within
// the bounds. The client has what precedes the log, whatever the
// segment says: the last number may be the SYN's, and not that of a doubtful byte.
func (m *Machine) learnUna(c *Conn, una uint32) {
	c.unset(unaUnknown)
	if c.is(finAcked) { // the segment may be an old one
		una = seqnum.Max(una, c.una)
	}
	d := max(int64(seqnum.Diff(una, c.una)), c.start().Out-c.unaOff)
	c.una, c.unaOff = c.una+uint32(d), c.unaOff+d
	if c.wire != nil && c.wire.digest != nil {
		c.wire.digest.acknowledged(c.unaOff)
	}
}

// updateSndNxtRefused takes SND.NXT from a refused segment, if the client of an adopted or restored
// connection has more of the server's stream than the present socket has sent, or, while there is none,
// than is known. Such a client refuses what the socket or the core sends, and all its own segments
// may be refused here.
func (m *Machine) updateSndNxtRefused(c *Conn, s *segment.Segment, slot *gate.Slot) {
	window := int64(65535) << c.server.wscale
	live := c.state == Established
	if !c.is(adopted|restored) || live && !c.is(recovered) || !s.Flags.Has(segment.ACK) || s.Flags.Any(segment.SYN|segment.RST) {
		return
	}
	if off := int64(seqnum.Diff(s.Seq, c.rcvNxt())); off > window || off < -window {
		return
	}
	if d := seqnum.Diff(s.Ack, seqnum.Max(c.nxt, slot.SndNxt())); d > 0 && int64(d) <= int64(c.maxWindow) {
		c.nxt = s.Ack
		if !live && c.is(restored) { // as in updateSndNxt
			slot.SetSndNxt(c.nxt)
		}
	}
}

// lowerUna lowers SND.UNA to the lowest possible number, if the client of an adopted connection has
// sent nothing since: its window never allowed more to be in flight. Bytes that the client gets
// twice do no harm. A client that has acknowledged the server's FIN has everything, and nothing would
// be sent to it any more: see finished.
func (m *Machine) lowerUna(c *Conn) {
	if !c.is(unaUnknown) {
		return
	}
	c.unset(unaUnknown)
	if c.is(finAcked) {
		return
	}
	d := min(int64(c.maxWindow), c.unaOff-c.start().Out)
	if d > 0 {
		c.una, c.unaOff = c.una-uint32(d), c.unaOff-d
	}
}

// resumes reports whether a retransmitted SYN-ACK is of the socket by which the
// connection was opened again. After an adoption, the ACK number that this socket uses is learned
// from the SYN-ACK: the gate reports no other SYN-ACK here.
func (m *Machine) resumes(c *Conn, ack uint32) bool {
	if c.resume < 0 {
		if off := seqnum.Unwrap(ack, c.irs+1, c.received); off >= 0 && off <= c.received {
			c.resume = off
		}
	}
	return ack == c.irs+1+uint32(c.resume)
}
