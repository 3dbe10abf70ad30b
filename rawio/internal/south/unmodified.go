package south

import (
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// wire is what a connection needs in addition if its server is unmodified.
type wire struct {
	ackedAtInput     int64 // offset in the server's stream that the client had acknowledged with its newest input
	ackedAtClose     int64 // offset in the server's stream that the client had acknowledged when it closed
	digest           *digest
	receivedAtReopen int64 // received, when it was last opened again after a crash of its process
	crashes          int   // crashes since, each soon after the one before, without new data of the client
	reopened         int64 // time when it was last opened again after one
	compare          policy.Compare
	rolls            bool   // it has been opened again before
	iss              uint32 // of the socket of the last time
}

// maxCrashes is how many crashes in a row, without new data of the client in between, of the process
// that holds a connection are tolerated.
const maxCrashes = 5

const (
	// maxGrain is what fits a segment on whatever path (RFC 8200: 1280 bytes).
	maxGrain = 1180
	// SYN cookies round a client's MSS down: Linux knows 536 and, as the next one, 1300
	// (net/ipv4/syncookies.c). The restarted server may have answered with one.
	cookieMSS, cookieNext = 536, 1300
	// segmentOptions is the most that options may take of a segment, bytes.
	segmentOptions = 40
)

func newWire(compare policy.Compare, mss uint16) *wire {
	w := &wire{compare: compare}
	if compare == policy.CompareStrict {
		if mss == 0 {
			mss = defaultMSS
		}
		if mss < cookieNext {
			mss = min(mss, cookieMSS)
		}
		w.digest = newDigest(0, min(max(int(mss)-segmentOptions, segmentOptions), maxGrain))
	}
	return w
}

// Output takes a packet that the gate has captured: one that leaves while its
// connection is live, or one that the gate holds while it is rolled forward. seq
// is its sequence number as the client sees it, or the kernel's own when held.
func (m *Machine) Output(kind gate.OutputKind, slot, gen, seq uint32, s *segment.Segment) {
	m.readClock()
	c := m.BySlot(slot)
	if c == nil || c.gen != gen || c.wire == nil {
		return
	}
	switch {
	case kind == gate.OutputSent:
		if d := c.wire.digest; d != nil {
			d.add(c.outputOff(seq), s.Payload)
		}
	case c.state == Rolling:
		m.rolled(c, s)
	case c.state == Established && c.is(recovered):
		m.capturedBeforeLive(c, s)
	case c.state == Lingering:
		m.ackAsClient(c, s)
	}
}

// outputOff returns the offset in the server's stream of a number as the client
// sees it: near what the client has acknowledged.
func (c *Conn) outputOff(seq uint32) int64 { return c.unaOff + int64(seqnum.Diff(seq, c.una)) }

// outputSeq is the number, as the client sees it, of an offset in the server's
// stream.
func (c *Conn) outputSeq(off int64) uint32 { return c.una + uint32(off-c.unaOff) }

// noteInput takes a segment with data of a live connection: output that the client
// has acknowledged by then cannot be an answer to that data.
func (m *Machine) noteInput(c *Conn, s *segment.Segment) {
	if c.svc.Log != policy.LogSinceIdle {
		return
	}
	acked := seqnum.Min(s.Ack, m.slotOf(c).SndNxt()) // the segment may be forged
	c.wire.ackedAtInput = max(c.wire.ackedAtInput, c.outputOff(acked))
	m.watch(c)
}

// tickIdle truncates the log of a live connection that is idle, if the service's log policy is
// LogSinceIdle: input that was answered, with the answer acknowledged, need not be kept. It reports
// whether it has to be called again.
func (m *Machine) tickIdle(c *Conn) bool {
	if c.svc.Log != policy.LogSinceIdle || c.received == c.start().In {
		return false
	}
	slot := m.slotOf(c)
	sent := slot.SndNxt()
	if m.now-c.last >= c.svc.Idle && c.una == sent && slot.Ack() == c.rcvNxt() && c.stable == c.received &&
		c.ahead == nil && c.fin < 0 && !c.is(finSent) && c.unaOff > c.wire.ackedAtInput && !c.windowTooSmall() {
		return m.rebase(c, logserver.Base{In: c.received, Out: c.unaOff}) != nil
	}
	return true
}

// windowTooSmall reports whether the client's window is too small for the server to go on sending
// (RFC 9293, section 3.8.6.2.1): the answer may be incomplete.
func (c *Conn) windowTooSmall() bool {
	window := uint32(c.peerWindow) << c.client.wscale
	return window < min(max(uint32(c.client.mss), defaultMSS), c.maxWindow/2)
}

// defaultMSS is the MSS of a client that does not announce one (RFC 9293, section 3.7.1), bytes.
const defaultMSS = 536
