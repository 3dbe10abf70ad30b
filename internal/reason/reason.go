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
	GaveWay      Reason = "its handshake took longer than the slots lasted"
	Off          Reason = "the service's log policy is off"
	LogDown      Reason = "the log made nothing stable for too long"
	LogFull      Reason = "the log has no room for it"
	LogLost      Reason = "the log no longer knows it"
	LogCut       Reason = "the beginning of its log was discarded"
	NoRecord     Reason = "what the server process recorded of it is not there or incomplete"
	Refused      Reason = "journal or gate did not take it"
	EngineLate   Reason = "the engine stood still, and the gate did not wait for it"
	EngineFailed Reason = "the engine has failed"
	ServerEnded  Reason = "the server has ended"
	Urgent       Reason = "urgent data was sent on it"
	Fragments    Reason = "its server's host sends it in IP fragments"
	Unseen       Reason = "the kernel has taken bytes from its client that ftnet could not see"
	Inherited    Reason = "the engine before did not protect it"
	Dialled      Reason = "it was dialled by this host"
	Translated   Reason = "its address or port is translated on this host"
	OtherPort    Reason = "it was dialled at another port than its listener's (TPROXY)"
	SYNProxied   Reason = "a SYN proxy on this host has answered its client"
	OtherWay     Reason = "its packets take an interface that is not protected"
	Ungated      Reason = "packets pass by the gate on its interface"
	Passed       Reason = "bytes of it that nobody logged have passed by the gate"
	Unwatched    Reason = "nothing tells how its server lets go of it"
	Barred       Reason = "this host drops the handshake by which it would be recovered"
	Unrecognized Reason = "it passed the gate unseen"
)

// All returns every Reason, in the order of the documents.
func All() []Reason {
	return []Reason{
		Earlier, NoSlots, GaveWay, Off, LogDown, LogFull, LogLost, LogCut, NoRecord, Refused, EngineLate, EngineFailed, ServerEnded,
		Urgent, Fragments, Unseen, Inherited, Dialled, Translated, OtherPort, SYNProxied, OtherWay, Ungated, Passed, Unwatched, Barred,
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
