package rawio

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
)

// links keeps the gate on the interfaces that carry the service, and knows of each whether
// it is there: by what the kernel tells of changes (links_news.go), by looking from time to
// time, and by packets that prove it (prove.go).
//
//	          Attach                    a proof comes back
//	up ──┬──────────────► unguarded ──────────────────────────────► guarded
//	     │ refused             ▲                                        │
//	     └───────► refused     └─ proofs fail, Mend finds it gone or ───┘
//	                              behind
//
// What comes up before anything could be protected is guarded at once; and until a port is
// protected there is nothing to prove, and Attach's word counts.
type links struct {
	linksConfig
	named map[string]bool // nil: all
	nl    linkTable
	news  *linkNews
	kick  chan struct{} // something is to be done before it is due
	// begun says that connections may have passed by an interface before it has the gate.
	begun    bool
	unlisted bool // news were lost, and the interfaces were not listed since
	posts    posts

	mu     sync.Mutex // guards what follows
	all    map[int]*guarded
	said   map[int]string // what changed was called with last, but for interfaces without a why
	prover prover
}

// linksConfig is what links need of the engine.
type linksConfig struct {
	gate  linkGate
	names []string // of the interfaces; none: all that are up, and come up
	log   hclog.Logger
	// adopted says that there may be connections by interfaces that the gate, which is an
	// earlier engine's, is not on.
	adopted bool
	// changed is called with the interfaces on which packets may bypass the gate and the
	// reasons; an empty reason means that they no longer do. Only watch calls it, without mu.
	changed func(why map[int]string)
	// catchUp passes the gate's reports until now to proved, and returns how many reports
	// were lost so far. It is called without mu.
	catchUp func() (lost uint64, err error)
}

// guarded is an interface that the gate is on, or should be.
type guarded struct {
	index   int
	name    string
	addr    net.HardwareAddr
	refused error  // the gate is not on it
	why     string // packets may pass by the gate; empty: they do not
	passed  string // the last why, and when that ended
	until   time.Time

	look   bool // something has changed there
	proof  proof
	mended mends
}

// whyNew is why packets may pass by the gate where it was attached just now: until then
// they did.
const whyNew = "it has just come up"

// openLinks attaches the gate to the named interfaces, or to all that are up. Of those it
// goes without what refuses the gate.
func openLinks(c linksConfig) (*links, error) {
	l := &links{linksConfig: c, begun: c.adopted, all: map[int]*guarded{}, said: map[int]string{}, kick: make(chan struct{}, 1)}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	l.begun = true
	return l, nil
}

func (l *links) open() (err error) {
	if err := l.prover.open(l.gate); err != nil {
		return err
	}
	table, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("rawio: netlink: %w", err)
	}
	l.nl = table
	if len(l.names) > 0 {
		l.named = map[string]bool{}
	}
	for _, n := range l.names {
		if _, err := l.nl.LinkByName(n); err != nil {
			return fmt.Errorf("rawio: interface %q: %w", n, err)
		}
		l.named[n] = true
	}
	// Opened before the list is read: no interface falls in between, nor a change.
	if l.news, err = openLinkNews(); err != nil {
		return fmt.Errorf("rawio: watch interfaces: %w", err)
	}
	list, err := l.list()
	if err != nil {
		return fmt.Errorf("rawio: list interfaces: %w", err)
	}
	for _, link := range list {
		if err := l.consider(link); err != nil {
			return err
		}
	}
	if len(l.attached()) == 0 {
		return errors.New("rawio: no interface is up that can be protected")
	}
	return nil
}

// list returns all interfaces.
func (l *links) list() (list []netlink.Link, err error) {
	const attempts = 10
	for range attempts {
		// Where interfaces come and go meanwhile the list may lack some.
		if list, err = l.nl.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// close ends what open began, or what it has begun of that; watch must have returned, or never begun.
func (l *links) close() {
	if l.news != nil {
		l.news.close()
	}
	if l.nl != nil {
		l.nl.Close()
	}
	l.prover.close()
}

// consider attaches the gate to a link if it should and can carry the service. That the
// gate is refused is an error for a named interface only.
func (l *links) consider(link netlink.Link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := link.Attrs()
	if g := l.all[a.Index]; g != nil {
		g.name, g.addr = a.Name, a.HardwareAddr // it may have been renamed
		if g.refused == nil {
			return nil
		}
	}
	if a.RawFlags&unix.IFF_UP == 0 || (l.named != nil && !l.named[a.Name]) {
		return nil
	}
	why := ""
	if l.begun && !l.gate.Attached(a.Index) {
		why = whyNew
	}
	err := l.gate.Attach(a.Index)
	switch {
	case err == nil:
		l.all[a.Index] = &guarded{index: a.Index, name: a.Name, addr: a.HardwareAddr, why: why}
		l.log.Debug("attached", "interface", a.Name)
		l.hurry()
		return nil
	case l.named != nil:
		return fmt.Errorf("rawio: attach to interface %q: %w", a.Name, err)
	case errors.Is(err, gate.ErrDevice):
		l.log.Debug("interface carries no IP packets for the gate", "interface", a.Name)
		return nil
	}
	if l.all[a.Index] == nil {
		l.log.Warn("interface is not protected", "interface", a.Name, "reason", err)
	}
	l.all[a.Index] = &guarded{index: a.Index, name: a.Name, addr: a.HardwareAddr, refused: err}
	return nil
}

// forget takes note that an interface has gone, or to another network namespace, from
// which it may come back.
func (l *links) forget(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[index]
	delete(l.all, index)
	l.posts.forget(index)
	if err := l.gate.Detach(index); err != nil {
		l.log.Debug("detach", "interface", index, "error", err)
	}
	if g != nil {
		l.log.Debug("interface has gone", "interface", g.name)
	}
}

// interfaces returns the names of the interfaces that the gate guards.
func (l *links) interfaces() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, g := range l.all {
		if g.guarded() {
			names = append(names, g.name)
		}
	}
	slices.Sort(names)
	return names
}

// has reports whether the gate guards an interface.
func (l *links) has(index int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[index]
	return g != nil && g.guarded()
}

// passed says why packets pass by the gate on an interface, or have passed at some time
// since; empty: they do not. attached is false where the gate is not meant to be, or is
// refused.
func (l *links) passed(index int, since time.Time) (why string, attached bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch g := l.all[index]; {
	case g == nil || g.refused != nil:
		return "", false
	case g.why == "" && g.until.After(since):
		return g.passed, true
	default:
		return g.why, true
	}
}

func (g *guarded) guarded() bool { return g.refused == nil && g.why == "" }

// attached returns the names of the interfaces that the gate guards, or should, by index.
func (l *links) attached() map[int]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := map[int]string{}
	for i, g := range l.all {
		if g.refused == nil {
			list[i] = g.name
		}
	}
	return list
}

// hurry makes watch check at once.
func (l *links) hurry() { ring(l.kick) }
