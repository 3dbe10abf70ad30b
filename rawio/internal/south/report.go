package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// Kind of a Report.
type Kind uint8

// Reports.
const (
	ConnOpened Kind = iota
	ConnClosed
	ConnReset       // by ftnet; Reason says why
	ConnUnprotected // or not any more: Why and Reason
	ConnRecovered
	ServiceRecovered // every connection of the service is reconnected
	QuotaFull
	SYNRefused
	ConnCrashed  // the process that held it crashed, others of its server may live: PID, Code
	ConnMismatch // the restarted server's output differs; ConnReset follows
	ConnWaits    // the log does not accept the client's data: Reason
	// ConnEstablished: the client has answered the SYN-ACK. It is reported once for each
	// connection that has begun here.
	ConnEstablished
	// ConnImpossible: a bug of the core, see Config.Strict. The connection is reset if it was not
	// over.
	ConnImpossible
)

// Report is one noteworthy event.
type Report struct {
	Kind   Kind
	Port   uint16
	Flow   segment.Flow
	ID     logserver.ConnID
	Reason string
	Why    reason.Reason // ConnUnprotected only: Reason without the connection's detail
	// Kept says that the core keeps the connection, which may become protected again.
	// ConnUnprotected only.
	Kept bool
	// Logged is how many bytes of the client were logged.
	Logged int64
	// PID and Code are those of gate.Event. ConnCrashed only.
	PID, Code int
}

func (m *Machine) report(k Kind, c *Conn, reason string) {
	m.cfg.Report(Report{Kind: k, Port: c.svc.port, Flow: c.Flow, ID: c.ID, Reason: reason, Logged: c.received})
}
