package rawio

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/sockdiag"
	"github.com/ftnet/ftnet/rawio/south"
)

// Connections that the kernel has at a protected port, and whose handshake neither
// tap nor gate has told of, are found by comparing: nothing else tells of them.

const (
	// unseenPeriod is the shortest time between two looks, but for those that the
	// status asks for.
	unseenPeriod = time.Second
	// unseenShare bounds the part of the time that is spent looking: a look
	// walks the kernel's connection table.
	unseenShare = 100
	// unseenMax bounds how many unprotected connections are remembered.
	unseenMax = 1 << 16
	// unseenAtOnce is how many connections are compared while the core waits.
	unseenAtOnce = 256
)

// unseen remembers which of the kernel's connections are not protected: each is
// declared once, and the status says why. The engine's lock guards it, but for look.
type unseen struct {
	look    *sync.Mutex // held during a look
	sockets int         // how many the last look has met; look guards it
	known   map[Flow]*stranger
	// halfOpen are the sockets that were being opened when their port became
	// protected.
	halfOpen map[uint64]reason.Reason
	// proxied has the sockets of which it is known whether a SYN proxy has answered.
	proxied map[uint64]bool
	// aliases are ports that are not protected and have connections of a listener at one
	// that is, and that one.
	aliases map[uint16]uint16
	// forgot says that one was declared that did not fit known: whether a
	// connection was declared can't be told until all of them have ended.
	forgot bool
}

// stranger is a connection that was declared unprotected.
type stranger struct {
	why    string
	cookie uint64    // of its socket; 0: not met yet
	met    time.Time // in the kernel's list, or declared
}

func newUnseen() unseen {
	return unseen{look: new(sync.Mutex), known: map[Flow]*stranger{}, halfOpen: map[uint64]reason.Reason{}, proxied: map[uint64]bool{}}
}

// note takes what the core says of a connection. Those of services that log nothing
// are as they were asked for, and not remembered.
func (u *unseen) note(r *south.Report) {
	switch {
	case r.Kind == south.ConnOpened:
		delete(u.known, r.Flow)
	case r.Kind != south.ConnUnprotected || r.Why == reason.Off:
	case len(u.known) >= unseenMax:
		u.forgot = true
	default:
		u.known[r.Flow] = &stranger{why: r.Reason, met: time.Now()}
	}
}

// forget drops what is known of a port that is no longer protected.
func (u *unseen) forget(port uint16) {
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
	k := u.known[s.Flow]
	if k == nil {
		return false
	}
	if k.cookie != 0 && k.cookie != s.Cookie { // the next one between the same ends
		delete(u.known, s.Flow)
		return false
	}
	k.cookie, k.met = s.Cookie, now
	return true
}

// prune forgets connections that had ended at a time.
func (u *unseen) prune(at time.Time, list []sockdiag.Socket) {
	for f, k := range u.known {
		if k.met.Before(at) {
			delete(u.known, f)
		}
	}
	u.forgot = u.forgot && len(u.known) > 0
	if len(u.halfOpen) == 0 && len(u.proxied) == 0 {
		return
	}
	living := map[uint64]bool{}
	for i := range list {
		living[list[i].Cookie] = true
	}
	for c := range u.halfOpen {
		if !living[c] {
			delete(u.halfOpen, c)
		}
	}
	for c := range u.proxied {
		if !living[c] {
			delete(u.proxied, c)
		}
	}
}

// unseenLoop looks from time to time.
func (e *Engine) unseenLoop() {
	timer := time.NewTimer(unseenPeriod)
	defer timer.Stop()
	for {
		select {
		case <-e.closing:
			return
		case <-timer.C:
		}
		began := time.Now()
		if e.worthALook() {
			e.lookForUnseen()
		}
		timer.Reset(max(unseenPeriod, unseenShare*time.Since(began)))
	}
}

// worthALook reports whether a service is protected, and meant to be.
func (e *Engine) worthALook() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.ports {
		if s.LogPolicy != LogOff {
			return true
		}
	}
	return false
}

// lookForUnseen declares the connections of protected ports of which the core does
// not know, and returns all sockets of these ports. If they cannot be listed, there
// is nothing to tell of them.
func (e *Engine) lookForUnseen() []sockdiag.Socket {
	e.unseen.look.Lock()
	defer e.unseen.look.Unlock()
	began := time.Now()
	e.mu.Lock()
	ports := e.machine.Ports()
	e.mu.Unlock()
	if len(ports) > 0 {
		e.findTransparent(ports)
	}
	list := e.sockets()
	unknown := e.unknown(list)
	if len(unknown) > 0 {
		// Connections may have ended between the list and the comparison: only what
		// is the same in a second list counts.
		still := map[uint64]sockdiag.Socket{}
		for _, s := range e.sockets() {
			still[s.Cookie] = s
		}
		var again []sockdiag.Socket
		for _, s := range unknown {
			if now, ok := still[s.Cookie]; ok {
				again = append(again, now)
			}
		}
		for _, s := range e.unknown(again) {
			e.declare(&s)
		}
	}
	e.findProxied(list)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unseen.prune(began, list)
	return list
}

// declare says why a connection is not protected. Where its ends are translated the core
// may have it under those that it has in the network: that one is let go.
func (e *Engine) declare(s *sockdiag.Socket) {
	why, detail, outside := e.explain(s)
	e.do(func(m *south.Machine) {
		if outside != s.Flow && m.LetGo(outside, why, detail) {
			e.unseen.note(&south.Report{Kind: south.ConnUnprotected, Flow: s.Flow, Why: why, Reason: why.With(detail)})
		} else {
			m.Declare(e.unseen.port(s.Flow), s.Flow, why, detail)
		}
		e.unseen.meet(s, time.Now())
	})
}

// findProxied lets connections go that a SYN proxy has answered. To the gate they are as
// those that began with a SYN cookie; but the socket has other numbers than the client,
// and netfilter translates between the two.
func (e *Engine) findProxied(list []sockdiag.Socket) {
	var suspects []sockdiag.Socket
	e.eachOf(list, func(s *sockdiag.Socket) {
		if c := e.machine.Conn(s.Flow); c != nil && c.ByCookie() && !e.unseen.proxied[s.Cookie] {
			e.unseen.proxied[s.Cookie] = true
			suspects = append(suspects, *s)
		}
	})
	for _, s := range suspects {
		if entry, err := e.tracked.Lookup(s.Flow); err == nil && entry.SYNProxy {
			e.do(func(m *south.Machine) { m.LetGo(s.Flow, reason.SYNProxied, "") })
		}
	}
}

// eachOf calls f for each socket, with the engine's lock held, and lets the core work in
// between.
func (e *Engine) eachOf(list []sockdiag.Socket, f func(*sockdiag.Socket)) {
	for len(list) > 0 {
		n := min(len(list), unseenAtOnce)
		e.mu.Lock()
		for i := range list[:n] {
			f(&list[i])
		}
		e.mu.Unlock()
		list = list[n:]
	}
}

// sockets returns the kernel's connections of the protected ports' listeners.
func (e *Engine) sockets() []sockdiag.Socket {
	aliases, err := e.gate.Aliases()
	if err != nil {
		e.log.Debug("aliases not listed", "error", err)
	}
	e.mu.Lock()
	ports := e.machine.Ports()
	maps.DeleteFunc(aliases, func(port, at uint16) bool { return !slices.Contains(ports, at) || slices.Contains(ports, port) })
	e.unseen.aliases = aliases
	e.mu.Unlock()
	if len(ports) == 0 {
		return nil
	}
	list := make([]sockdiag.Socket, 0, e.unseen.sockets+e.unseen.sockets/16)
	list, err = sockdiag.AppendSockets(list, slices.AppendSeq(ports, maps.Keys(aliases)))
	e.unseen.sockets = len(list)
	if err != nil {
		e.log.Debug("sockets not listed", "error", err)
	}
	// Others may listen at such a port, too.
	return slices.DeleteFunc(list, func(s sockdiag.Socket) bool {
		_, alias := aliases[s.Flow.Server.Port()]
		return alias && !s.Transparent
	})
}

// unknown returns those of the sockets that serve a client whom the core does not
// know and who was not declared.
func (e *Engine) unknown(list []sockdiag.Socket) (out []sockdiag.Socket) {
	now := time.Now()
	e.eachOf(list, func(s *sockdiag.Socket) {
		met := e.unseen.meet(s, now)
		if !met && !e.unseen.forgot && s.Served() && e.watched(e.unseen.port(s.Flow)) && e.machine.Conn(s.Flow) == nil {
			out = append(out, *s)
		}
	})
	return out
}

// watched reports whether the connections of a port are to be protected. The
// engine's lock is held.
func (e *Engine) watched(port uint16) bool {
	svc := e.ports[port]
	return svc != nil && svc.LogPolicy != LogOff && !e.machine.Ending(port)
}

// declareEarlier declares the connections that a port had before it was protected.
func (e *Engine) declareEarlier(port uint16, why reason.Reason) {
	e.unseen.look.Lock()
	defer e.unseen.look.Unlock()
	list, err := sockdiag.Sockets([]uint16{port})
	if err != nil {
		e.log.Debug("sockets not listed", "error", err)
	}
	for _, s := range e.unknown(list) {
		e.do(func(m *south.Machine) { m.Declare(port, s.Flow, why, "") })
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range list {
		if list[i].State == sockdiag.SynReceived {
			e.unseen.halfOpen[list[i].Cookie] = why
		}
	}
}
