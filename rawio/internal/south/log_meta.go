package south

import (
	"errors"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
)

// What a log that outlives the engine keeps beside the client's stream: the
// little about the server's stream that a recovery cannot learn from the client alone.

// noteEvery is after how much output, as a power of two of bytes, the log is updated with how much the
// client has acknowledged: a client's ACK number has the lower 32 bits of the offset only.
const noteEvery = 30

// unwrapOutput returns the offset in the server's stream of a sequence number, where o is the log's
// newest record, which is less than 4 GiB older, see noteEvery. The number may also be lower than the
// record, by up to the client's greatest window: it may be from an old segment, or an engine had
// recorded an upper bound of what was acknowledged.
func (c *Conn) unwrapOutput(seq uint32, o *logserver.Output) int64 {
	return seqnum.Unwrap(seq, c.iss+1, o.Acked+1<<31-int64(c.maxWindow))
}

// note updates the connection's metadata in the log.
func (m *Machine) note(c *Conn) {
	if !m.cfg.Lasting || c.ID == 0 {
		return
	}
	o := logserver.Output{Acked: c.unaOff}
	if c.is(finSent) {
		o.Closed, o.End = true, c.outputOff(c.finEnd)-1
		o.Acked = min(o.Acked, o.End)
	}
	m.update(c, o)
}

// update stores the connection's metadata in the log anew. The timestamps in it become
// newer: nothing needs the original ones.
func (m *Machine) update(c *Conn, o logserver.Output) {
	tsval := m.slotOf(c).TSVal()
	if c.unsynced() {
		o, tsval = c.extra.restore.out, c.extra.tsval
	}
	a := agreed{irs: c.irs, iss: c.iss, flags: c.synFlags, syn: c.client.segment(), synack: c.server.segment()}
	a.syn.TSVal, a.synack.TSVal, a.synack.TSEcr = c.peerTS, tsval, c.peerTS
	meta := metaOf(c, &a)
	meta.ID, meta.Output = c.ID, o
	if err := m.log.Update(meta); errors.Is(err, logserver.ErrNoConn) { // it did not know where to tell that
		c.set(logGone)
		m.touch(c)
	} // else the next one says the same and more
}

// metaOf is what the log is told when a connection begins.
func metaOf(c *Conn, a *agreed) logserver.Meta {
	return logserver.Meta{Tag: tag(c.slot, c.gen), Service: c.svc.Name, Flow: logserver.Flow(c.Flow), Handshake: a.encode()}
}

func (o synOptions) segment() segment.Options {
	return segment.Options{MSS: o.mss, WScale: o.wscale, HasWScale: o.hasWS(), SACKPermitted: o.sack(), HasTS: o.ts()}
}

// noteFIN notes the server's FIN in the log once the client has acknowledged it
// and has not closed itself: from then on its acknowledgments count the FIN.
func (m *Machine) noteFIN(c *Conn) {
	if c.is(finAcked) && !c.is(finReported) && c.fin < 0 {
		c.set(finReported)
		m.note(c)
	}
}
