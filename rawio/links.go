package rawio

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
)

// links keeps the gate on the interfaces that carry the service, and knows of each whether
// it is there: by what tc tells of changes (tcnews.go), by looking from time to time, and
// by packets that prove it (prove.go).
//
//	          Attach                  proofs fail, Mend finds it gone or behind
//	up ──┬──────────────► guarded ──────────────────────────────► unguarded
//	     │ refused           ▲                                        │
//	     └───────► refused   └──────── a proof comes back ────────────┘
//
// Until a port is protected there is nothing to prove, and Attach's word counts.
type links struct {
	gate  *gate.Gate
	names map[string]bool // nil: all
	log   hclog.Logger
	// changed is told that packets may pass by the gate on an interface, and why, or that
	// they do not any more (why is empty). It is called by watch alone, without mu.
	changed func(index int, why string)
	// catchUp hands proved what the gate has reported until now, and returns how many of
	// its reports were lost so far. It is called without mu.
	catchUp func() (lost uint64, err error)

	updates chan netlink.LinkUpdate
	done    chan struct{}
	news    *tcNews
	kick    chan struct{} // something is to be done before it is due

	mu     sync.Mutex // guards what follows
	all    map[int]*guarded
	prover prover
}

// guarded is an interface that the gate is on, or should be.
type guarded struct {
	index   int
	name    string
	addr    net.HardwareAddr
	refused error  // the gate is not on it
	why     string // packets may pass by the gate; empty: they do not
	told    string // the why that changed was told

	look   bool // tc tells that something has changed
	proof  proof
	mended mends
}

// openLinks attaches the gate to the named interfaces, or to all that are up. Of those it
// goes without what refuses the gate.
func openLinks(g *gate.Gate, names []string, log hclog.Logger, changed func(int, string), catchUp func() (uint64, error)) (*links, error) {
	l := &links{
		gate: g, log: log, changed: changed, catchUp: catchUp, all: map[int]*guarded{}, kick: make(chan struct{}, 1),
		updates: make(chan netlink.LinkUpdate, 64), done: make(chan struct{}),
	}
	if len(names) > 0 {
		l.names = map[string]bool{}
		for _, n := range names {
			if _, err := netlink.LinkByName(n); err != nil {
				return nil, fmt.Errorf("rawio: interface %q: %w", n, err)
			}
			l.names[n] = true
		}
	}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *links) open() (err error) {
	if err := l.prover.open(l.gate); err != nil {
		return err
	}
	// Subscribed before the list is read: no interface falls in between, nor a change.
	if err := netlink.LinkSubscribe(l.updates, l.done); err != nil {
		return fmt.Errorf("rawio: watch interfaces: %w", err)
	}
	if l.news, err = openTCNews(); err != nil {
		return fmt.Errorf("rawio: watch traffic control: %w", err)
	}
	list, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("rawio: list interfaces: %w", err)
	}
	for _, link := range list {
		if err := l.consider(link); err != nil {
			return err
		}
	}
	if len(l.interfaces()) == 0 {
		return errors.New("rawio: no interface is up that can be protected")
	}
	return nil
}

// close ends what open began; watch must have returned, or never begun.
func (l *links) close() {
	close(l.done)
	if l.news != nil {
		l.news.close()
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
	if a.RawFlags&unix.IFF_UP == 0 || (l.names != nil && !l.names[a.Name]) {
		return nil
	}
	err := l.gate.Attach(a.Index)
	switch {
	case err == nil:
		l.all[a.Index] = &guarded{index: a.Index, name: a.Name, addr: a.HardwareAddr}
		l.log.Debug("attached", "interface", a.Name)
		l.hurry()
		return nil
	case l.names != nil:
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
	if err := l.gate.Detach(index); err != nil {
		l.log.Debug("detach", "interface", index, "error", err)
	}
	if g != nil && g.told != "" {
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

func (g *guarded) guarded() bool { return g.refused == nil && g.why == "" }

// hurry has watch look at once.
func (l *links) hurry() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}
