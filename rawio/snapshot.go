package rawio

import (
	"net"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/south"
)

// Snapshot is the engine's state at one moment.
type Snapshot struct {
	Core        south.Stats
	Gate        gate.Stats
	TapPackets  uint64
	TapBytes    uint64
	TapDrops    uint64 // packets that did not fit the tap's buffer
	Fragments   uint64 // parts of packets that the tap has seen
	BadPackets  uint64 // truncated, malformed, or with a wrong checksum
	SendErrors  uint64
	Interfaces  []string
	Missing     map[string]string // parts of the gate that could not be restored, and why
	Mended      map[string]uint64 // parts of the gate, and how often each was restored
	Connections []Connection      // only if asked for
}

// Connection is one entry of a Snapshot.
type Connection struct {
	ID        logserver.ConnID
	Flow      Flow
	Port      uint16 // of the service
	State     south.State
	Protected bool
	Reason    string
	How       string // it is protected
	Received  int64  // client bytes in order
	Start     int64  // of these, those from here on are in the log
	Stable    int64
	Acked     int64 // server bytes that the client has acknowledged
	HeldACK   bool
	Recovered int
	Since     time.Time
	Idle      time.Duration
}

// Snapshot reads the counters and, if asked for, every connection.
func (e *Engine) Snapshot(connections bool) (Snapshot, error) {
	s := Snapshot{
		TapPackets: e.tapPackets.Load(), TapBytes: e.tapBytes.Load(),
		Fragments: e.tapFragments.Load(), BadPackets: e.badPackets.Load(), SendErrors: e.sendErrors.Load(),
		Interfaces: e.links.interfaces(),
	}
	s.Missing, s.Mended = e.keeper.state()
	var err error
	if s.TapDrops, err = e.tap.Drops(); err != nil {
		return s, err
	}
	err = e.atGate(func(g packetGate) error {
		s.Gate, err = g.Stats()
		return err
	})
	if err != nil {
		return s, err
	}
	if !connections {
		e.mu.Lock()
		defer e.mu.Unlock()
		s.Core = e.machine.Stats
		return s, nil
	}
	var sockets []sockdiag.Socket
	e.lookForUnseen(func(s *sockdiag.Socket) { sockets = append(sockets, *s) })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return s, net.ErrClosed
	}
	s.Core = e.machine.Stats
	now := e.machine.Now()
	s.Connections = make([]Connection, 0, e.machine.Len())
	e.machine.Conns(func(c *south.Conn) bool {
		s.Connections = append(s.Connections, e.connection(c, now))
		return true
	})
	for i := range sockets {
		f := sockets[i].Flow
		if why := e.unprotected(&sockets[i]); why != "" && e.machine.Conn(f) == nil {
			s.Connections = append(s.Connections, Connection{Flow: f, Port: e.unseen.port(f), State: south.Open, Reason: why})
		}
	}
	return s, nil
}

// unprotected returns why a connection of the kernel that the core does not have is not
// protected; empty: it has just begun or ended.
func (e *Engine) unprotected(s *sockdiag.Socket) string {
	port := e.unseen.port(s.Flow)
	switch svc := e.ports[port]; {
	case svc == nil:
		return ""
	case svc.LogPolicy == policy.LogOff && s.Served():
		return string(reason.Off)
	}
	if why := e.unseen.why(s); why != "" {
		return why
	}
	if e.machine.Ending(port) && s.Served() {
		return string(reason.ServerEnded)
	}
	return ""
}

// connection describes one; now is the core's time.
func (e *Engine) connection(c *south.Conn, now int64) Connection {
	i := c.Info()
	out := Connection{
		ID: c.ID, Flow: c.Flow, Port: c.Flow.Server.Port(), State: i.State, Protected: i.Protected, Reason: i.Reason, How: i.How, Start: i.Start,
		Received: i.Received, Stable: i.Stable, Acked: i.Acked, Recovered: i.Recoveries,
		Since: time.Now().Add(time.Duration(i.Since - now)), Idle: time.Duration(now - i.Last),
	}
	if out.Protected && e.machine.IsUnwatched(c) {
		out.Protected, out.Reason = false, string(reason.Unwatched)
	}
	if err := e.Err(); err != nil && out.Protected {
		out.Protected, out.Reason = false, reason.EngineFailed.With(err.Error())
	}
	if slot := e.gate.Slot(c.Slot()); c.State() == south.Established {
		out.HeldACK = slot.Held() && seqnum.Less(slot.Stable(), slot.Ack())
	}
	return out
}
