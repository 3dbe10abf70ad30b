package south

import (
	"errors"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
)

// The log may stall: its server cannot be reached, or its disk cannot be written. Data that
// waits for it is not acknowledged, so that the clients slow down by themselves and nothing is
// lost. DownHold needs no more. But the gate also holds the kernel's keepalive probes
// of an idle client, so the core probes in its place, and the kernel gets the answer.
// For services with DownUnprotect the core measures for how long each connection has waited
// while none of its data became stable.

// downAfter is the default of Service.DownAfter, ns.
const downAfter = 10e9

// down is what is known of a log that has stalled.
type down struct {
	since int64 // time since when the log reports that it has stalled; 0: it does not
	until int64 // connections that begin before this time do not use the log
}

func (s *service) downAfter() int64 {
	if s.DownAfter > 0 {
		return s.DownAfter
	}
	return downAfter
}

// unavailable reports whether an error of the log means that it is down or busy, and not that it is
// full.
func unavailable(err error) bool {
	for _, e := range []error{logserver.ErrUnreachable, logserver.ErrFailed, logserver.ErrFenced, logserver.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	q, ok := errors.AsType[*logserver.QuotaError](err)
	return ok && q.Scope == logserver.ScopeBuffer
}

// writeFailed handles an error of the log that left data of a connection unwritten.
func (m *Machine) writeFailed(c *Conn, err error) {
	switch {
	case unavailable(err):
		if c.is(limited) || c.state == Closed {
			return
		}
		c.set(logStalled)
		if !errors.Is(err, logserver.ErrQuota) {
			m.report(ConnWaits, c, err.Error())
		}
		m.closeWindow(c)
		m.touch(c)
	case errors.Is(err, logserver.ErrNoConn): // what was logged is lost as well
		m.giveUp(c, reason.LogLost, err.Error())
	default:
		m.logFull(c, err.Error())
	}
}

// logLost handles the loss of a connection by the log, stable data included. One that both
// sides have closed is complete without it.
func (m *Machine) logLost(c *Conn) {
	c.unset(logGone)
	switch {
	case c.state == SynReceived:
		m.openFailed(c, logserver.ErrNoConn)
	case c.unsynced():
		m.markLost(c, reason.LogLost, "")
	case c.mayBeExposed() && !c.closed():
		m.writeFailed(c, logserver.ErrNoConn)
	}
}

// LogStatus takes the log's new status.
func (m *Machine) LogStatus(s logserver.Status) {
	m.readClock()
	switch {
	case s&(logserver.Unreachable|logserver.Failed) == 0:
		m.down = down{}
	case m.down.since == 0:
		m.down.since = m.now
	}
}

// isDown reports whether a new connection begins without the log, because earlier ones have waited for
// it in vain.
func (m *Machine) isDown(svc *service) bool {
	if svc.LogDown != policy.DownUnprotect {
		return false
	}
	return m.now < m.down.until || m.down.since != 0 && m.now-m.down.since >= svc.downAfter()
}

// waited returns, in words, how long the log has been stalled when a connection of the service goes on
// without it.
func (s *service) waited() string { return time.Duration(s.downAfter()).String() }

// watchLog makes tick watch a connection that waits for the log, or for its client to retransmit bytes
// that only the kernel has.
func (m *Machine) watchLog(c *Conn) {
	if c.probedAt == 0 && (c.waitsForLog() || c.is(ackPending)) {
		c.probedAt = m.millis()
		m.watch(c)
	}
	if c.lagAt == 0 && c.waitsForLog() {
		c.lagAt = m.millis()
	}
}

// waitsForLog reports whether a connection waits for the log, and could go on without it.
func (c *Conn) waitsForLog() bool {
	return c.state == SynReceived || c.state == Established && (c.behindLog() || c.is(logStalled))
}

// logProgress notes that the log makes data of the connection stable.
func (m *Machine) logProgress(c *Conn) {
	m.noteAnswered(c)
	m.down.until, c.lagAt, c.probedAt = 0, 0, 0
	if c.is(logStalled) {
		m.reopen(c)
	}
}

// tickDown watches a connection that waits for the log, and ends its protection if it has waited
// for too long. It reports whether it has ended it.
func (m *Machine) tickDown(c *Conn) bool {
	now := m.millis()
	if !c.waitsForLog() {
		c.lagAt = 0
		if !c.is(ackPending | unaUnknown) {
			c.probedAt = 0
			return false
		}
	}
	if c.lagAt != 0 && c.svc.LogDown == policy.DownUnprotect && int64(now-c.lagAt) >= c.svc.downAfter()/1e6 && m.mayUnprotect(c) {
		m.unprotectStalled(c)
		return true
	}
	if c.state == Established && int64(now-c.probedAt) >= m.cfg.KeepAlive/1e6 {
		if c.is(unaUnknown) && m.probed >= probesPerTick {
			m.lagging = true
			return false
		}
		m.probed++
		c.probedAt = now
		m.probeLive(c)
	}
	return false
}

// mayUnprotect reports whether the kernel can serve the client without the core. It cannot while a
// restarted handler has sent less than its predecessor, nor if only the last ACK is still to be
// sent: the kernel counts that as sent, and sends nothing more when the client acknowledges its FIN.
func (m *Machine) mayUnprotect(c *Conn) bool {
	if c.state == SynReceived {
		return true
	}
	slot := m.slotOf(c)
	m.noticeFIN(c, slot)
	return !c.behind(slot) && !(c.is(finSent) && (c.fin >= 0 || seqnum.Less(c.rcvNxt(), slot.Ack())))
}

// unprotectStalled ends the protection of a connection that has waited for too long.
func (m *Machine) unprotectStalled(c *Conn) {
	c.lagAt, c.probedAt = 0, 0
	m.down.until = m.now + c.svc.downAfter()
	if c.state == SynReceived {
		packet := c.extra.synack
		m.forget(c)
		m.noteUnprotected(c.Flow, reason.LogDown, c.svc.waited())
		m.passUnprotected(c.Flow, packet, c.iss, c.irs+1)
		return
	}
	m.unprotect(c, reason.LogDown, c.svc.waited())
}

// probeLive sends a keepalive probe to the client of a live connection.
func (m *Machine) probeLive(c *Conn) {
	if c.closed() {
		return
	}
	slot := m.slotOf(c)
	ack := seqnum.Min(c.stableSeq(), slot.Ack())
	s := c.liveAck(slot, ack)
	s.Seq, s.Options.NSACK = c.una-1, 0
	m.trace(c, ack)
	c.acked = seqnum.Max(c.acked, ack)
	m.net.ToClient(s)
}

// millis is the time as Conn.lagAt keeps it: never 0.
func (m *Machine) millis() uint32 { return uint32(m.now/1e6) | 1 }
