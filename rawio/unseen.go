package rawio

import (
	"net"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/south"
)

// unseenMax bounds how many connections are remembered that were declared and that no look
// has met in the kernel: whoever sends SYNs with forged addresses makes them.
const unseenMax = 1 << 16

// unseen remembers which of the kernel's connections are not protected: each is
// declared once, and the status says why. The engine's lock guards it, but for what look
// guards. What it remembers of a connection is forgotten when two looks have not met it:
// the kernel's list may lack one that is there.
type unseen struct {
	look    *sync.Mutex // held during a look; guards the next five
	list    func(ports []uint16, f func(*sockdiag.Socket)) error
	atGate  func() (map[uint16]uint16, error) // the aliases that the gate has found
	tracked func(Flow) (conntrack.Entry, error)
	watch   func() (socketWatcher, error)
	watcher socketWatcher // of watch, for list
	batch   []sockdiag.Socket

	last  time.Time     // when the last complete look began
	waits time.Duration // unexplained
	known map[Flow]*stranger
	unmet int // of known, at most
	// forgot is the reason of connections that were declared and did not fit known;
	// empty: all did. What the next look finds unknown may be one of them, and is not
	// declared.
	forgot   string
	forgotAt time.Time
	// earlier says of ports why those connections are not protected that they have at
	// the next look.
	earlier map[uint16]reason.Reason
	marks   map[uint64]*mark // by the socket's cookie
	// aliases are ports that are not protected and have connections of a listener at one
	// that is, and that one.
	aliases map[uint16]uint16
}

// stranger is a connection that was declared unprotected and that the core has not.
type stranger struct {
	why    string
	cookie uint64    // of its socket; 0: not met yet
	met    time.Time // in the kernel's list, or declared
}

// mark is what is known of a socket.
type mark struct {
	// early is why its connection is not protected: it was being opened when its port
	// became protected. Empty: it was not.
	early   reason.Reason
	proxied bool // whether a SYN proxy has answered its client is known
	// found is when a look has found its connection without a reason, which may show yet,
	// and since is when that began at the earliest; zero: it was not.
	found, since time.Time
	met          time.Time
}

// unexplained is for how long a reason may show that does not yet: so long it takes at most
// until it is known that packets pass by the gate.
const unexplained = 2*proofEvery + proofTries*proofWait

func newUnseen() unseen {
	return unseen{look: new(sync.Mutex), last: time.Now(), waits: unexplained, known: map[Flow]*stranger{}, earlier: map[uint16]reason.Reason{}, marks: map[uint64]*mark{}}
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

// note takes what the core says of a connection. What the core still has it tells of
// itself. Those of services that log nothing are as they were asked for, and not
// remembered.
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
	if u.unmet >= unseenMax {
		u.forgot, u.forgotAt = why, now
		return
	}
	u.unmet++
	u.known[f] = &stranger{why: why, met: now}
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

// port is that of the listener that a connection is of.
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

// meet notes that a socket is there, and reports whether its connection was
// declared.
func (u *unseen) meet(s *sockdiag.Socket, now time.Time) bool {
	if len(u.marks) > 0 {
		if m := u.marks[s.Cookie]; m != nil {
			m.met = now
		}
	}
	k := u.known[s.Flow]
	switch {
	case k == nil:
		return false
	case k.cookie == 0:
		u.unmet--
	case k.cookie != s.Cookie: // the next one between the same ends
		delete(u.known, s.Flow)
		return false
	}
	k.cookie, k.met = s.Cookie, now
	return true
}

// early returns why a connection is not protected that its port had, or began to have,
// before that was protected; empty: it has begun later.
func (u *unseen) early(s *sockdiag.Socket) reason.Reason {
	if m := u.marks[s.Cookie]; m != nil && m.early != "" {
		return m.early
	}
	return u.earlier[u.port(s.Flow)]
}

// whyDeclared returns the reason of a connection that was declared, or needed not to be, and of
// which nothing is remembered; empty: that cannot be.
func (u *unseen) whyDeclared(port uint16) string {
	if u.earlier[port] == reason.Off { // the core has reported them when they began
		return string(reason.Off)
	}
	return u.forgot
}

// remember has a socket's connection count as declared.
func (u *unseen) remember(s *sockdiag.Socket, why string, now time.Time) {
	u.known[s.Flow] = &stranger{why: why, cookie: s.Cookie, met: now}
}

// mark returns what is known of a socket.
func (u *unseen) mark(s *sockdiag.Socket, now time.Time) *mark {
	m := u.marks[s.Cookie]
	if m == nil {
		m = &mark{met: now}
		u.marks[s.Cookie] = m
	}
	return m
}

// looked takes note of a look at some ports that has met all that the kernel has there.
func (u *unseen) looked(ports []uint16) {
	for _, p := range ports {
		delete(u.earlier, p)
	}
}

// lookedAtAll takes note of a look at all ports that began at a time: it forgets
// what neither that nor the one before has met.
func (u *unseen) lookedAtAll(began time.Time) {
	u.unmet = 0
	for f, k := range u.known {
		if k.met.Before(u.last) {
			delete(u.known, f)
		} else if k.cookie == 0 {
			u.unmet++
		}
	}
	for c, m := range u.marks {
		if m.met.Before(u.last) {
			delete(u.marks, c)
		}
	}
	if u.forgotAt.Before(began) {
		u.forgot = ""
	}
	u.last = began
}
