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

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// links keeps the gate on the interfaces that carry the service, and verifies that it is on each of
// them: by the kernel's notifications of changes (links_news.go), by periodic checks, and by packets that
// prove it (prove.go).
//
//	          Attach                    a proof comes back
//	up ──┬──────────────► unguarded ──────────────────────────────► guarded
//	     │ refused             ▲                                        │
//	     └───────► refused     └─ proofs fail, Mend finds it gone or ───┘
//	                              behind
//
// An interface that comes up before anything could be protected is guarded at once. Until a port is
// protected there is nothing to prove, and the result of Attach counts.
type links struct {
	linksConfig
	named  map[string]bool // nil: all
	nl     linkTable
	news   *linkNews
	wakeup chan struct{} // watch is to check before the next check is due
	// begun says that an interface may carry connections before the gate is attached to it.
	begun     bool
	unlisted  bool // notifications were lost, and the interfaces were not listed since
	sightings sightings

	mu       sync.Mutex // guards what follows
	all      map[int]*guarded
	reported map[int]string // the reasons that changed was called with last; without empty ones
	prover   prover
}

// linksConfig is what links need of the engine.
type linksConfig struct {
	gate  linkGate
	names []string // of the interfaces; none: all that are up, and come up
	log   hclog.Logger
	// adopted says that the gate is an earlier engine's, so that interfaces without it may carry
	// connections.
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
	refused error  // why the gate could not be attached; nil: it was
	why     string // why packets may bypass the gate; empty: they do not
	passed  string // the previous why, which ended at until
	until   time.Time

	look   bool // the gate there is to be checked: something has changed
	proof  proof
	mended mends
}

// whyNew is why packets may have bypassed the gate on an interface to which it was just attached.
const whyNew = "it has just come up"

// openLinks attaches the gate to the named interfaces, or to all that are up. Of the latter it
// skips those to which the gate cannot be attached.
func openLinks(c linksConfig) (*links, error) {
	l := &links{linksConfig: c, begun: c.adopted, all: map[int]*guarded{}, reported: map[int]string{}, wakeup: make(chan struct{}, 1)}
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
	// Opened before the list is read, so that no interface and no change is missed in between.
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
		// If interfaces come and go meanwhile, the list may lack some.
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

// consider attaches the gate to a link if it should and can carry the service. A failure to attach
// is an error for a named interface only.
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
		l.wake()
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

// forget notes that an interface is gone, perhaps to another network namespace, from
// which it may come back.
func (l *links) forget(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[index]
	delete(l.all, index)
	l.sightings.forget(index)
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

// passed returns why packets bypass the gate on an interface, or have bypassed it at some time
// since; empty: they have not. attached is false where the gate is not meant to be, or could not be
// attached.
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

// wake makes watch check at once.
func (l *links) wake() { ring(l.wakeup) }
