package logd

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Peer is who has a session.
type Peer struct {
	Addr        net.Addr
	Name        string    // in its certificate
	Services    []string  // that it may use; "*" is all
	Since       time.Time // over this connection
	Connections int       // of the services that it writes
	Bytes       uint64    // of clients' data that it has sent over this connection
	Unstable    int64     // bytes that are not stable yet
}

// Counters is what a server has counted.
type Counters struct {
	Accepted uint64 // sessions, those that went on included
	Refused  uint64 // strangers that did not become peers
	Fenced   uint64 // services that sessions have lost to younger ones
}

// counters are the same while they grow.
type counters struct{ accepted, refused, fenced atomic.Uint64 }

// Counters returns what was counted since the server was made.
func (s *Server) Counters() Counters {
	return Counters{s.counted.accepted.Load(), s.counted.refused.Load(), s.counted.fenced.Load()}
}

// Peers returns those that are being served, the oldest first.
func (s *Server) Peers() []Peer {
	s.mu.Lock()
	sessions := make([]*session, 0, len(s.sessions))
	for _, x := range s.sessions {
		sessions = append(sessions, x)
	}
	s.mu.Unlock()
	slices.SortFunc(sessions, func(a, b *session) int { return a.since.Compare(b.since) })
	connections := s.table.perOwner()
	list := make([]Peer, len(sessions))
	for i, x := range sessions {
		name, _, _ := strings.Cut(x.peer.name, "\x00")
		list[i] = Peer{
			Addr: x.conn.RemoteAddr(), Name: name, Services: x.peer.services, Since: x.since,
			Connections: connections[x], Bytes: x.bytes.Load(), Unstable: max(x.unstable.Load(), 0),
		}
	}
	return list
}

// perOwner counts the connections that each session writes.
func (t *connections) perOwner() map[*session]int {
	n := map[*session]int{}
	for _, c := range t.all() {
		c.mu.Lock()
		n[c.owner]++
		c.mu.Unlock()
	}
	return n
}

// Expire deletes the connections that were not modified for the given time, and whose service
// nobody has written for as long: those of engines that have not come back. It returns how
// many that were. When a connection was modified, an earlier log server has noted by a clock that may
// have been wrong, as may be that of a host that has just started; so what counts besides is how long
// this one has waited in vain.
func (s *Server) Expire(after time.Duration) (n int) {
	before := time.Now().Add(-after)
	for _, c := range s.table.all() {
		m, err := s.store.Meta(c.id)
		if err == nil && m.Modified.Before(before) && s.expire(c, after) {
			n++
		}
	}
	return n
}

// expire deletes a connection unless a session writes its service, or has done so lately.
func (s *Server) expire(c *conn, after time.Duration) bool {
	c.svc.mu.Lock()
	defer c.svc.mu.Unlock()
	if s.table.get(c.id) != c {
		return false // deleted meanwhile
	}
	since := c.svc.since
	if x := c.svc.owner; x != nil {
		if x.alive() {
			return false
		}
		since = x.ended
	}
	if time.Since(since) < after {
		return false
	}
	s.remove(c)
	return true
}

// alive reports whether the session has not ended.
func (x *session) alive() bool {
	select {
	case <-x.done:
		return false
	default:
		return true
	}
}
