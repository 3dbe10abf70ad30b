package south

// flags are facts about a connection besides its state, grouped by their source.
type flags uint32

// From the client's segments.
const (
	confirmed flags = 1 << iota // it has acknowledged the SYN-ACK
	finAcked                    // it has acknowledged the server's FIN
)

// From the server's kernel socket, by way of the gate.
const (
	finSent      flags = finAcked << 1 << iota // the FIN that the application meant has left
	serverClosed                               // an unmodified server has closed it, or a descriptor was closed without the north side
	byCookie                                   // its first SYN-ACK was a SYN cookie
	cookieSocket                               // its present socket was made from one: see gate.FlagCookie
	exposed                                    // packets may bypass the gate, or have bypassed it: in Machine.exposed
)

// From the log.
const (
	finLogged    flags = exposed << 1 << iota // the client's FIN is stable
	limited                                   // the log accepts nothing more: the window is closed
	logStalled                                // limited because it is down, and not full
	logGone                                   // the log has lost the connection, see logLost
	finReported                               // the log has the server's FIN, see noteFIN
	fullReported                              // the end of the quota was reported
)

// From a recovery here.
const (
	recovered     flags = fullReported << 1 << iota // the translation is in force
	opening                                         // Established, but the kernel is not known to have the new socket: see third_ack.go
	outsideWindow                                   // it has left the window of handshakes: see leaveWindow
)

// From an earlier engine.
const (
	restored    flags = outsideWindow << 1 << iota // it is not known for certain what its servers have sent to the client
	finDoubtful                                    // restored, and the client's last acknowledgment may count the server's FIN
	unaUnknown                                     // Established when this engine began, and no segment of the client since: una is only an upper bound
	adopted                                        // adopted from a previous engine: the server may already have closed it, and only that engine was notified
)

// ACKs that the core has to send.
const (
	ackPending flags = adopted << 1 << iota // live: the kernel wants an ACK above what left
	dupACKDue                               // live: a duplicate ACK, in place of the kernel's
	ackDue                                  // not live: an ACK
)

// Lists of the core that it is in.
const (
	touched  flags = ackDue << 1 << iota // in Machine.touched
	readsDue                             // in Machine.reading
)

// is reports whether one of the flags f is set.
func (c *Conn) is(f flags) bool { return c.flags&f != 0 }
func (c *Conn) set(f flags)     { c.flags |= f }
func (c *Conn) unset(f flags)   { c.flags &^= f }
