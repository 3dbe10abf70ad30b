package rawio

import "github.com/ftnet/ftnet/rawio/internal/south"

// ReportKind says what a Report is about.
type ReportKind uint8

// Kinds of reports.
const (
	// ConnEstablished: a client has answered the SYN-ACK. There is one for each connection
	// that has begun with this engine.
	ConnEstablished ReportKind = iota + 1
	// ConnUnprotected: a connection is not protected, or not any more. Reason and Why.
	ConnUnprotected
	// ConnRecovered: a connection goes on with the restarted server.
	ConnRecovered
	// ConnMismatch: the restarted server sent something else. ConnReset follows.
	ConnMismatch
	// ConnReset: the engine has reset a connection. Reason.
	ConnReset
	// ConnCrashed: the process that held a connection has crashed, while others of its server
	// may live. PID and Code.
	ConnCrashed
	// SYNRefused: a client asks for what cannot be protected, TCP-MD5 or TCP-AO. Reason.
	SYNRefused
	// ServiceRecovered: the outage of a port is over, all its connections are live. No Flow.
	ServiceRecovered
)

// Report is one event of a port or of one of its connections.
type Report struct {
	Kind   ReportKind
	Port   uint16
	Flow   Flow   // the connection
	Reason string // in words, for an operator
	Why    string // Reason without what is the connection's own, to be counted
	PID    int    // of a process, in the engine's PID namespace
	Code   int    // how that ended, as wait(2) has it
}

// reportKinds are the kinds of the core's reports that others than the engine are told.
var reportKinds = map[south.Kind]ReportKind{
	south.ConnEstablished:  ConnEstablished,
	south.ConnUnprotected:  ConnUnprotected,
	south.ConnRecovered:    ConnRecovered,
	south.ConnMismatch:     ConnMismatch,
	south.ConnReset:        ConnReset,
	south.ConnCrashed:      ConnCrashed,
	south.SYNRefused:       SYNRefused,
	south.ServiceRecovered: ServiceRecovered,
}

// report tells the engine's owner what the core has reported. e.mu is held.
func (e *Engine) report(r *south.Report) {
	kind, told := reportKinds[r.Kind]
	if told && e.cfg.Reports != nil {
		e.cfg.Reports(Report{Kind: kind, Port: r.Port, Flow: r.Flow, Reason: r.Reason, Why: string(r.Why), PID: r.PID, Code: r.Code})
	}
}
