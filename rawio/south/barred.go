package south

import (
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
)

// A rule set of the host may let the clients' SYNs pass and not those that are sent in their
// names: then no connection can be opened again. The engine finds that out by trials, handshakes
// of its own, and reports to the core by which interfaces trials for a port were not answered.
// Connections by these are not protected; all else goes on as usual, and a recovery is attempted
// all the same.

// entrance is how clients come to a port.
type entrance struct {
	ifindex uint32
	v6      bool
}

// Bar says that the kernel does not answer handshakes that are begun in the names of a
// port's clients by an interface, and why; why is empty if it does.
func (m *Machine) Bar(port uint16, ifindex int, v6 bool, why string) {
	svc := m.services[port]
	if svc == nil {
		return
	}
	m.read()
	at := entrance{uint32(ifindex), v6}
	if why == "" {
		delete(svc.barred, at)
		return
	}
	if svc.barred == nil {
		svc.barred = map[entrance]string{}
	}
	svc.barred[at] = why
	m.each(svc, func(c *Conn) {
		if m.completed(c) {
			m.reportBarred(c)
		}
	})
}

// barred reports whether a connection could not be opened again, and why. The SYN of a
// recovery goes the client's way: while that is not known, before a restored connection is
// synchronized, nothing is barred.
func (c *Conn) barred() (why string, barred bool) {
	if len(c.svc.barred) == 0 || !c.mayBeExposed() {
		return "", false
	}
	way := c.in
	if way == 0 {
		way = c.out // most often it is the same
	}
	why, barred = c.svc.barred[entrance{way, c.Flow.Server.Addr().Is6()}]
	return why, barred
}

// reportBarred reports that a connection is not protected, if it could not be opened again.
func (m *Machine) reportBarred(c *Conn) {
	if why, barred := c.barred(); barred {
		m.reportUnprotected(c, reason.Barred, why)
	}
}

// Listens reports whether a server listens on a port, as far as is known, and has recovered.
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
