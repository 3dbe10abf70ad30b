package south

import (
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
)

// Info is what a status page shows of a connection.
type Info struct {
	State      State // SynReceived until the client has answered the SYN-ACK
	Protected  bool
	Reason     string // why it is not protected, or is being reset
	Received   int64  // client bytes in order
	Stable     int64
	Acked      int64 // server bytes that the client has acknowledged
	Recoveries int
	Since      int64 // time of the handshake, ns, by Machine.Now
	Last       int64 // time of the client's newest segment, by the same
	How        string
	Start      int64 // client bytes from here on are in the log
}

// Info returns the connection's counters.
func (c *Conn) Info() Info {
	i := Info{
		Protected: c.state != Open && c.state != Resetting && c.state != Lingering,
		Received:  c.received, Stable: c.stable, Acked: c.unaOff, Since: c.since, Last: c.last,
	}
	i.Recoveries, i.How, i.Start = int(c.recoveries), "read by read", c.start().In
	if c.wire != nil {
		i.How = "on the wire, strict"
		if c.wire.compare == policy.CompareLength {
			i.How = "on the wire, length"
		}
	}
	i.State = c.state
	if !c.is(confirmed) && (c.state == Established && !c.is(recovered) || c.state == Outage) {
		i.State, i.Reason = SynReceived, whyHalfOpen
	}
	if c.extra != nil && c.extra.reason != "" {
		i.Reason = c.extra.reason
	}
	if c.unsynced() {
		i.State = c.state
		i.Reason = "it was restored from the log; its client has sent nothing since"
		if lost := c.extra.restore.lost; lost != "" {
			i.Protected, i.Reason = false, lost
		}
	}
	if c.is(exposed) {
		i.Protected, i.Reason = false, string(reason.Ungated)
	}
	if why, unanswered := c.trialUnanswered(); unanswered && i.Protected {
		i.Protected, i.Reason = false, reason.SYNsDropped.With(why)
	}
	if c.state == Lingering {
		i.Reason = "it is over; late segments are answered"
	}
	return i
}

const whyHalfOpen = "its client has not completed the handshake"
