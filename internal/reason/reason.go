// Package reason has the words in which status, log and documents say why a
// connection is not protected. Each fact that can end or prevent protection has
// one Reason, and docs/limits.md lists them all (a test compares).
package reason

// Reason is a fixed phrase without numbers or names, so that it can be counted. What
// belongs to one connection only is said beside it; see [Reason.With].
type Reason string

// The reasons.
const (
	Earlier      Reason = "it began before its port was protected"
	NoSlots      Reason = "all connection slots are in use"
	Evicted      Reason = "its slot was needed before its handshake had ended"
	Off          Reason = "the service's log policy is off"
	LogDown      Reason = "the log was stalled for too long"
	LogFull      Reason = "the log has no room for it"
	LogLost      Reason = "the log lost it"
	LogStrange   Reason = "the log's record of it is unusable"
	NoRecord     Reason = "the server process's record of it is missing or incomplete"
	Refused      Reason = "journal or gate rejected it"
	EngineStall  Reason = "the engine stalled for longer than dead-after"
	EngineFailed Reason = "the engine has failed"
	ServerEnded  Reason = "the server has ended"
	Urgent       Reason = "urgent data was sent on it"
	Fragments    Reason = "its server's host sends it in IP fragments"
	Unseen       Reason = "the kernel received bytes from its client that ftnet did not observe"
	Inherited    Reason = "the previous engine did not protect it"
	Dialled      Reason = "it was dialled by this host"
	Translated   Reason = "its address or port is translated on this host"
	OtherPort    Reason = "it was dialled at another port than its listener's (TPROXY)"
	SYNProxied   Reason = "a SYN proxy on this host has answered its client"
	OtherWay     Reason = "its packets use an unprotected interface"
	Ungated      Reason = "packets bypass the gate on its interface"
	Passed       Reason = "unlogged bytes of it bypassed the gate"
	Unwatched    Reason = "its server's release of it cannot be observed"
	SYNsDropped  Reason = "this host drops the handshake by which it would be recovered"
	Unrecognized Reason = "it was established without being observed"
)

// All returns every Reason, in the order of the documents.
func All() []Reason {
	return []Reason{
		Earlier, NoSlots, Evicted, Off, LogDown, LogFull, LogLost, LogStrange, NoRecord, Refused, EngineStall, EngineFailed, ServerEnded,
		Urgent, Fragments, Unseen, Inherited, Dialled, Translated, OtherPort, SYNProxied, OtherWay, Ungated, Passed, Unwatched, SYNsDropped,
		Unrecognized,
	}
}

// With returns the reason with a detail of one connection behind it. An empty
// detail adds nothing.
func (r Reason) With(detail string) string {
	if detail == "" {
		return string(r)
	}
	return string(r) + ": " + detail
}
