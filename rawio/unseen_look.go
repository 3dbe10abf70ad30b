package rawio

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// Connections at a protected port whose handshake neither
// tap nor gate has seen are found by comparing the kernel's list with the core's: no event reports them.

const (
	// unseenPeriod is the shortest time between two looks, except those for the
	// status.
	unseenPeriod = time.Second
	// unseenShare bounds the share of time that looks take, to 1/unseenShare: a look
	// walks the kernel's connection table.
	unseenShare = 100
	// unseenAtOnce is how many connections are compared with the engine's lock held.
	unseenAtOnce = 256
)

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
		if e.anyProtected() {
			e.lookForUnseen(nil)
		}
		timer.Reset(max(unseenPeriod, unseenShare*time.Since(began)))
	}
}

// anyProtected reports whether any service logs its connections.
func (e *Engine) anyProtected() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.ports {
		if s.LogPolicy != policy.LogOff {
			return true
		}
	}
	return false
}

// lookForUnseen declares the connections of protected ports that the core does not
// know. each, if not nil, is called for every socket of these ports.
func (e *Engine) lookForUnseen(each func(*sockdiag.Socket)) {
	e.unseen.look.Lock()
	defer e.unseen.look.Unlock()
	e.mu.Lock()
	ports := e.machine.Ports()
	e.mu.Unlock()
	if len(ports) > 0 {
		e.findTransparent(ports)
	}
	e.lookAtAll(ports, each)
}

// lookAtAll compares what the kernel has at all protected ports and their aliases with what
// the core has. If a list is incomplete, its entries count, but nothing is
// concluded from what is missing in it. unseen.look is held.
func (e *Engine) lookAtAll(ports []uint16, each func(*sockdiag.Socket)) {
	began := time.Now()
	aliases, err := e.unseen.atGate()
	if err == nil {
		maps.DeleteFunc(aliases, func(port, at uint16) bool { return !slices.Contains(ports, at) || slices.Contains(ports, port) })
		e.mu.Lock()
		e.unseen.aliases = aliases
		e.mu.Unlock()
	} else {
		e.log.Debug("aliases not listed", "error", err)
		aliases = e.unseen.aliases // as they were
	}
	if len(ports) > 0 && e.lookAt(slices.AppendSeq(ports, maps.Keys(aliases)), began, each) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unseen.lookedAtAll(began)
}

// lookAt is lookAtAll for some ports. The error is that of their list.
func (e *Engine) lookAt(ports []uint16, began time.Time, each func(*sockdiag.Socket)) error {
	var unknown, byCookie []sockdiag.Socket
	err := e.sockets(ports, func(s *sockdiag.Socket) {
		if each != nil {
			each(s)
		}
		if e.unknown(s, began) {
			unknown = append(unknown, *s)
		}
		if c := e.machine.Conn(s.Flow); c != nil && c.ByCookie() && !e.unseen.mark(s, began).proxied {
			byCookie = append(byCookie, *s)
		}
	})
	if len(unknown) > 0 {
		// Connections may have ended between the list and the comparison: only those count
		// that are in a second list as well.
		first := map[uint64]bool{}
		for i := range unknown {
			first[unknown[i].Cookie] = true
		}
		unknown = unknown[:0]
		err = errors.Join(err, e.sockets(ports, func(s *sockdiag.Socket) {
			if first[s.Cookie] && e.unknown(s, began) {
				unknown = append(unknown, *s)
			}
		}))
		for i := range unknown {
			e.declare(&unknown[i])
		}
	}
	e.findProxied(byCookie)
	if err == nil {
		e.mu.Lock()
		e.unseen.looked(ports)
		e.mu.Unlock()
	}
	return err
}

// sockets calls f for each of the kernel's connections of the ports' listeners, with the
// engine's lock held, which it releases in between. unseen.look is held.
func (e *Engine) sockets(ports []uint16, f func(*sockdiag.Socket)) error {
	u := &e.unseen
	compare := func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i := range u.batch {
			// An alias may also have connections of a listener of its own.
			if s := &u.batch[i]; s.Transparent || u.port(s.Flow) == s.Flow.Server.Port() {
				f(s)
			}
		}
		u.batch = u.batch[:0]
	}
	err := u.list(ports, func(s *sockdiag.Socket) {
		if u.batch = append(u.batch, *s); len(u.batch) == unseenAtOnce {
			compare()
		}
	})
	compare()
	if err != nil {
		e.log.Debug("sockets not listed", "error", err)
	}
	return err
}

// unknown reports whether a socket's connection is served, unknown to the core and not
// declared. The engine's lock is held.
func (e *Engine) unknown(s *sockdiag.Socket, now time.Time) bool {
	u, port, opening := &e.unseen, e.unseen.port(s.Flow), s.State == sockdiag.SynReceived
	if u.noteSocket(s, now) || !opening && !s.Served() || !e.watched(port) || e.machine.Conn(s.Flow) != nil {
		return false
	}
	if why := u.whyDeclared(port); why != "" {
		u.remember(s, why, now)
		return false
	}
	if why := u.earlier[port]; opening && why != "" {
		u.mark(s, now).early = why
	}
	return !opening
}

// watched reports whether new connections of a port are to be protected. The
// engine's lock is held.
func (e *Engine) watched(port uint16) bool {
	svc := e.ports[port]
	return svc != nil && svc.LogPolicy != policy.LogOff && !e.machine.Ending(port)
}

// declare reports why a connection is not protected. If its addresses are translated, the
// core may have the connection with its addresses in the network: the protection of that one ends.
func (e *Engine) declare(s *sockdiag.Socket) {
	now := time.Now()
	e.mu.Lock()
	found, since := now, e.unseen.last // the last look has not found it
	if m := e.unseen.marks[s.Cookie]; m != nil && !m.found.IsZero() {
		found, since = m.found, m.since
	}
	e.mu.Unlock()
	why, detail, outside := e.explain(s, since)
	e.do(func(m *south.Machine) {
		if e.unseen.noteSocket(s, now) {
			return // the kernel has reported it twice, or the core has declared it meanwhile
		}
		if why == reason.Unrecognized && now.Sub(found) < e.unseen.waits {
			k := e.unseen.mark(s, now)
			k.found, k.since = found, since
			return
		}
		if outside != s.Flow && m.UnprotectFlow(outside, why, detail) {
			e.unseen.declared(s.Flow, why.With(detail))
		} else {
			m.Declare(e.unseen.port(s.Flow), s.Flow, why, detail)
		}
		e.unseen.noteSocket(s, now)
	})
}

// findProxied ends the protection of connections that a SYN proxy has answered. To the gate they look
// like connections that began with a SYN cookie; but the socket has other sequence numbers than the
// client, and netfilter translates between the two.
func (e *Engine) findProxied(byCookie []sockdiag.Socket) {
	for i := range byCookie {
		s := &byCookie[i]
		entry, err := e.unseen.tracked(s.Flow)
		if err != nil && !errors.Is(err, conntrack.ErrNotFound) {
			e.log.Debug("connection tracking not read", "error", err)
			return // the next look asks again
		}
		e.do(func(m *south.Machine) {
			e.unseen.mark(s, time.Now()).proxied = true
			if entry.SYNProxy {
				m.UnprotectFlow(s.Flow, reason.SYNProxied, "")
			}
		})
	}
}
