package south

import (
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
)

// A rule set of the host may pass the clients' SYNs and drop those that are sent in their
// names: then no connection can be opened again. The engine finds that out by trials, handshakes
// of its own, and reports to the core on which interfaces trials for a port were not answered.
// Connections whose clients' packets arrive there are not protected. All else goes on as usual, and
// a recovery is attempted all the same.

// entrance is where clients' packets for a port arrive: an interface and an address family.
type entrance struct {
	ifindex uint32
	v6      bool
}

// TrialResult tells the core of a trial on an interface: why is empty if the kernel answers
// handshakes that are begun there in the names of the port's clients; else it says why it does not.
func (m *Machine) TrialResult(port uint16, ifindex int, v6 bool, why string) {
	svc := m.services[port]
	if svc == nil {
		return
	}
	m.readClock()
	at := entrance{uint32(ifindex), v6}
	if why == "" {
		delete(svc.unanswered, at)
		return
	}
	if svc.unanswered == nil {
		svc.unanswered = map[entrance]string{}
	}
	svc.unanswered[at] = why
	m.each(svc, func(c *Conn) {
		if m.handshakeComplete(c) {
			m.reportTrialUnanswered(c)
		}
	})
}

// trialUnanswered reports whether a trial where the client's packets arrive was not answered, so
// that the connection could not be opened again, and why. While that interface is not known, before
// a restored connection is synchronized, it reports false.
func (c *Conn) trialUnanswered() (why string, unanswered bool) {
	if len(c.svc.unanswered) == 0 || !c.mayBeExposed() {
		return "", false
	}
	way := c.in
	if way == 0 {
		way = c.out // most often it is the same
	}
	why, unanswered = c.svc.unanswered[entrance{way, c.Flow.Server.Addr().Is6()}]
	return why, unanswered
}

// reportTrialUnanswered reports that a connection is not protected, if it could not be opened again.
func (m *Machine) reportTrialUnanswered(c *Conn) {
	if why, unanswered := c.trialUnanswered(); unanswered {
		m.reportUnprotected(c, reason.SYNsDropped, why)
	}
}

// Listens reports whether a server is known to listen on a port, and has recovered.
func (m *Machine) Listens(port uint16) bool {
	svc := m.services[port]
	return svc != nil && svc.alive && !svc.outage
}

// MayOpen reports whether a server listens on a port, and no connections of it are being
// opened again.
func (m *Machine) MayOpen(port uint16) bool {
	svc := m.services[port]
	return svc != nil && svc.alive && !svc.outage && !svc.busy && !svc.ending && svc.Log != policy.LogOff
}
