package gate

// Stats are counters since the gate was loaded, in the order of `enum stat` in bpf/maps.h.
type Stats struct {
	AckHeld      uint64 // pure ACKs held back
	AckLowered   uint64 // segments whose ACK number was lowered
	SACKHeld     uint64 // pure ACKs held back for a SACK block above high
	SACKRemoved  uint64 // segments whose SACK option was removed
	Limited      uint64 // segments whose window was narrowed to the limit
	SYNACKHeld   uint64 // SYN-ACKs held and reported
	FINHeld      uint64 // FINs held
	RSTHeld      uint64 // RSTs held
	OutageOut    uint64 // egress packets held in an outage or a spoofed handshake
	OutageIn     uint64 // ingress packets held in an outage or a spoofed handshake, or by FlagCookie
	SYNHeld      uint64 // SYNs held while the service was in an outage
	SYNRefused   uint64 // SYNs refused for TCP-MD5 or TCP-AO
	SYNStripped  uint64 // SYNs whose Fast Open or MPTCP option was removed
	ICMPHeld     uint64 // ICMP errors held
	ICMPFixed    uint64 // path-MTU reports translated on their way in
	AckClamped   uint64 // client ACKs clamped to what was sent
	Malformed    uint64 // packets of a service with an invalid TCP header; they pass
	EventsLost   uint64 // events lost because the ring buffer was full
	RewriteFails uint64 // packets held because a change to them failed
	Recorded     uint64 // segments captured before they left (FlagRecord)
	Rolled       uint64 // packets captured and held (ModeRoll)
	Unrecorded   uint64 // packets not captured because the ring of outputs was full; held, unless Opened
	Crashed      uint64 // sockets released by the end of a process that crashed
	Opened       uint64 // packets passed because the engine was dead, or after one of Unfollowed
	Misrouted    uint64 // the engine's packets to the server that were about to leave the host; held
	Unfollowed   uint64 // urgent data and fragments of servers: EventUnfollowed
	// ShortFragment counts first fragments without a whole TCP header, from clients;
	// they are held.
	ShortFragment uint64
}
