package south

import (
	"errors"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
)

// What a log that outlives the engine is told beside the client's stream: the
// little of the server's that a recovery cannot learn from the client alone.

// noteEvery is how much output, in powers of two of bytes, goes by before the
// log is told how much the client has acknowledged: the client names the number
// without what lies above 32 bits.
const noteEvery = 30

// unwrapOutput returns the offset in the server's stream of a number, where o is the log's
// last word: less than 4 GiB older, see noteEvery, but for the client's greatest window. By
// that much the number may be lower: an old segment names it, or the log was told what an
// engine had taken for acknowledged.
func (c *Conn) unwrapOutput(seq uint32, o *logserver.Output) int64 {
	return seqnum.Unwrap(seq, c.iss+1, o.Acked+1<<31-int64(c.maxWindow))
}

// note renews what the log knows of the connection.
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

// update tells the log the connection's metadata anew. The timestamps become
// newer by it: nothing needs the first ones.
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
		c.set(gone)
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

// noteFIN tells the log of the server's FIN once the client has acknowledged it
// without closing as well: its acknowledgments count the FIN from then on.
func (m *Machine) noteFIN(c *Conn) {
	if c.is(finAcked) && !c.is(finReported) && c.fin < 0 {
		c.set(finReported)
		m.note(c)
	}
}
