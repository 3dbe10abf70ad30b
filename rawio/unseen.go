package rawio

import (
	"net"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// unseenMax bounds how many declared connections are remembered that no look
// has found in the kernel: SYNs with forged addresses can make any number of them.
const unseenMax = 1 << 16

// unseen remembers which of the kernel's connections are not protected: each is
// declared once, and the status says why. The engine's lock guards it, except the fields that look
// guards. A connection is forgotten when two looks in a row have not found it:
// the kernel's list may lack one that exists.
type unseen struct {
	look    *sync.Mutex // held during a look; guards the next five
	list    func(ports []uint16, f func(*sockdiag.Socket)) error
	atGate  func() (map[uint16]uint16, error) // the aliases that the gate has found
	tracked func(Flow) (conntrack.Entry, error)
	watch   func() (socketWatcher, error)
	watcher socketWatcher // of watch, for list
	batch   []sockdiag.Socket

	last    time.Time     // when the last complete look began
	waits   time.Duration // unexplained
	known   map[Flow]*declaredConn
	notSeen int // of known, at most
	// overflow is the reason of connections that were declared and did not fit known;
	// empty: all did. Unknown connections that the next look finds may be among them, and are not
	// declared.
	overflow   string
	overflowAt time.Time
	// earlier says, by port, why the connections that the next look finds are not protected.
	earlier map[uint16]reason.Reason
	marks   map[uint64]*mark // by the socket's cookie
	// aliases are unprotected ports that have connections of a protected port's listener (TPROXY), with
	// that port.
	aliases map[uint16]uint16
}

// declaredConn is a connection that was declared unprotected and that the core has not.
type declaredConn struct {
	why    string
	cookie uint64    // of its socket; 0: not met yet
	seen   time.Time // in the kernel's list, or declared
}

// mark is what is known of a socket.
type mark struct {
	// early is why its connection is not protected: it was being opened when its port
	// became protected. Empty: it was not.
	early   reason.Reason
	proxied bool // whether a SYN proxy has answered its client is known
	// found is when a look has found its connection and no reason, which may still become known, and
	// since is the earliest time at which that connection can have begun; zero: it was not found.
	found, since time.Time
	seen         time.Time
}

// unexplained is how long to wait for a reason to become known: it is the longest time until
// it is detected that packets bypass the gate.
const unexplained = 2*proofEvery + proofTries*proofWait

func newUnseen() unseen {
	return unseen{
		look: new(sync.Mutex), last: time.Now(), waits: unexplained,
		known: map[Flow]*declaredConn{}, earlier: map[uint16]reason.Reason{}, marks: map[uint64]*mark{},
	}
}

// listSockets is list. look is held.
func (u *unseen) listSockets(ports []uint16, f func(*sockdiag.Socket)) (err error) {
	if u.watcher == nil {
		if u.watcher, err = u.watch(); err != nil {
			u.watcher = nil
			return err
		}
	}
	if err = u.watcher.Sockets(ports, f); err != nil {
		u.closeWatcher()
	}
	return err
}

func (u *unseen) closeWatcher() {
	if u.watcher != nil {
		_ = u.watcher.Close()
		u.watcher = nil
	}
}

// close ends looking.
func (u *unseen) close() {
	u.look.Lock()
	defer u.look.Unlock()
	u.closeWatcher()
	u.list = func([]uint16, func(*sockdiag.Socket)) error { return net.ErrClosed }
	u.atGate = func() (map[uint16]uint16, error) { return nil, net.ErrClosed }
}

// note takes a report of the core. Connections that the core still has are not remembered here, nor
// are those of services that log nothing: they are unprotected as configured.
func (u *unseen) note(r *south.Report) {
	switch {
	case r.Kind == south.ConnOpened:
		delete(u.known, r.Flow)
	case r.Kind == south.ConnUnprotected && !r.Kept && r.Why != reason.Off:
		u.declared(r.Flow, r.Reason)
	}
}

// declared remembers that a connection was, and why.
func (u *unseen) declared(f Flow, why string) {
	now := time.Now()
	if u.notSeen >= unseenMax {
		u.overflow, u.overflowAt = why, now
		return
	}
	u.notSeen++
	u.known[f] = &declaredConn{why: why, seen: now}
}

// forget drops what is known of a port that is no longer protected.
func (u *unseen) forget(port uint16) {
	delete(u.earlier, port)
	for f := range u.known {
		if u.port(f) == port {
			delete(u.known, f)
		}
	}
}

// port returns the port of a connection's listener.
func (u *unseen) port(f Flow) uint16 {
	if at, ok := u.aliases[f.Server.Port()]; ok {
		return at
	}
	return f.Server.Port()
}

// why returns the reason of the connection that a socket belongs to, if it was
// declared.
func (u *unseen) why(s *sockdiag.Socket) string {
	if k := u.known[s.Flow]; k != nil && (k.cookie == 0 || k.cookie == s.Cookie) {
		return k.why
	}
	return ""
}

// noteSocket notes that a socket is there, and reports whether its connection was
// declared.
func (u *unseen) noteSocket(s *sockdiag.Socket, now time.Time) bool {
	if len(u.marks) > 0 {
		if m := u.marks[s.Cookie]; m != nil {
			m.seen = now
		}
	}
	k := u.known[s.Flow]
	switch {
	case k == nil:
		return false
	case k.cookie == 0:
		u.notSeen--
	case k.cookie != s.Cookie: // the next one between the same ends
		delete(u.known, s.Flow)
		return false
	}
	k.cookie, k.seen = s.Cookie, now
	return true
}

// early returns why a connection is not protected that began before its port was; empty: it began
// later.
func (u *unseen) early(s *sockdiag.Socket) reason.Reason {
	if m := u.marks[s.Cookie]; m != nil && m.early != "" {
		return m.early
	}
	return u.earlier[u.port(s.Flow)]
}

// whyDeclared returns the reason of an unknown connection that may have been declared already, or need
// not be; empty: it was not declared.
func (u *unseen) whyDeclared(port uint16) string {
	if u.earlier[port] == reason.Off { // the core has reported them when they began
		return string(reason.Off)
	}
	return u.overflow
}

// remember records a socket's connection as declared.
func (u *unseen) remember(s *sockdiag.Socket, why string, now time.Time) {
	u.known[s.Flow] = &declaredConn{why: why, cookie: s.Cookie, seen: now}
}

// mark returns what is known of a socket.
func (u *unseen) mark(s *sockdiag.Socket, now time.Time) *mark {
	m := u.marks[s.Cookie]
	if m == nil {
		m = &mark{seen: now}
		u.marks[s.Cookie] = m
	}
	return m
}

// looked ends a look at some ports that has found all connections that the kernel has there.
func (u *unseen) looked(ports []uint16) {
	for _, p := range ports {
		delete(u.earlier, p)
	}
}

// lookedAtAll ends a look at all ports, which began at a given time: it forgets
// what neither that look nor the previous one has found.
func (u *unseen) lookedAtAll(began time.Time) {
	u.notSeen = 0
	for f, k := range u.known {
		if k.seen.Before(u.last) {
			delete(u.known, f)
		} else if k.cookie == 0 {
			u.notSeen++
		}
	}
	for c, m := range u.marks {
		if m.seen.Before(u.last) {
			delete(u.marks, c)
		}
	}
	if u.overflowAt.Before(began) {
		u.overflow = ""
	}
	u.last = began
}
