package rawio

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
)

// links keeps the gate attached to the interfaces that carry the service.
type links struct {
	gate     *gate.Gate
	names    map[string]bool // nil: all
	log      hclog.Logger
	mu       sync.Mutex
	attached map[int]string // guarded by mu; index to name
	updates  chan netlink.LinkUpdate
	done     chan struct{}
}

// openLinks attaches the gate to the named interfaces, or to all that are up.
func openLinks(g *gate.Gate, names []string, log hclog.Logger) (*links, error) {
	l := &links{gate: g, log: log, attached: map[int]string{},
		updates: make(chan netlink.LinkUpdate, 64), done: make(chan struct{})}
	if len(names) > 0 {
		l.names = map[string]bool{}
		for _, n := range names {
			if _, err := netlink.LinkByName(n); err != nil {
				return nil, fmt.Errorf("rawio: interface %q: %w", n, err)
			}
			l.names[n] = true
		}
	}
	// Subscribed before the list is read: no interface falls in between.
	if err := netlink.LinkSubscribe(l.updates, l.done); err != nil {
		return nil, fmt.Errorf("rawio: watch interfaces: %w", err)
	}
	list, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("rawio: list interfaces: %w", err)
	}
	for _, link := range list {
		if err := l.consider(link); err != nil {
			return nil, err
		}
	}
	if len(l.attached) == 0 {
		return nil, errors.New("rawio: no interface is up")
	}
	return l, nil
}

// consider attaches the gate to a link if it should and can carry the service.
func (l *links) consider(link netlink.Link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := link.Attrs()
	if l.attached[a.Index] != "" || a.RawFlags&unix.IFF_UP == 0 || (l.names != nil && !l.names[a.Name]) {
		return nil
	}
	err := l.gate.Attach(a.Index)
	switch {
	case errors.Is(err, gate.ErrDevice) && l.names == nil:
		l.log.Debug("interface carries no IP packets for the gate", "interface", a.Name)
		return nil
	case err != nil:
		return fmt.Errorf("rawio: attach to interface %q: %w", a.Name, err)
	}
	l.attached[a.Index] = a.Name
	l.log.Debug("attached", "interface", a.Name)
	return nil
}

// watch attaches to interfaces that come up later, until closing is closed.
func (l *links) watch(closing <-chan struct{}) {
	defer close(l.done)
	for {
		select {
		case <-closing:
			return
		case u, ok := <-l.updates:
			if !ok {
				l.log.Warn("interfaces are no longer watched")
				<-closing
				return
			}
			if u.Header.Type == unix.RTM_DELLINK {
				l.forget(int(u.Index))
				continue
			}
			if err := l.consider(u.Link); err != nil {
				l.log.Warn("interface is not protected", "error", err)
			}
		}
	}
}

func (l *links) forget(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.attached, index)
}

// has reports whether the gate is attached to an interface.
func (l *links) has(index int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.attached[index]
	return ok
}

// interfaces returns the names of the interfaces that the gate is attached to.
func (l *links) interfaces() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, n := range l.attached {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
