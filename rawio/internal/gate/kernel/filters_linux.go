package kernel

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// filterPriority is where the filters stand among others on the interface: low,
// so that a filter with a final verdict does not hide packets from the gate.
// Engines share the priority under handles of their own; if filters of another
// kind occupy it, one of the next maxPriorities is taken.
const (
	filterPriority = 6
	maxPriorities  = 16
)

const filterPrefix = "ftnet:"

// side is one of clsact's two hooks.
type side struct {
	suffix string
	parent uint32
}

var sides = []side{
	{"in", netlink.HANDLE_MIN_INGRESS},
	{"out", netlink.HANDLE_MIN_EGRESS},
}

func filterName(id string, s side) string { return filterPrefix + id + ":" + s.suffix }

// filters attaches the programs to interfaces: as filters of a clsact qdisc, whose names
// tell anybody whose they are, without a privilege. Where that does not do, because a
// qdisc of another kind excludes clsact or programs of others stand before, it attaches
// by tcx; see tcx.
type filters struct {
	id    string
	progs programs // guarded by mu
	tcx   tcx
	pins  func() *pins // nil: there are none

	mu       sync.Mutex
	nl       *netlink.Handle     // nil: not open. Guarded by mu, as is
	attached map[int]*attachment // by ifindex; only set changes it

	// asked is held while attached changes, and nobody makes a system call with it held: with
	// mu one may wait for the kernel's rtnl lock, which the whole host shares.
	asked sync.RWMutex
}

// attachment is how the gate stands on an interface.
type attachment struct {
	made  bool              // the clsact qdisc is the engines' to remove
	links [2]link.Link      // of the sides, if it is attached by tcx
	ids   [2]ebpf.ProgramID // of the programs on the sides
	yield map[string]bool   // what may stay before the gate: see Mend
}

func (a *attachment) byTCX() bool { return a.links[0] != nil }

// programs says how programs are loaded, and which of an Ethernet's are.
func (f *filters) programs(load func(names [2]string) (*programPair, error), first *programPair) {
	f.progs = programs{prefixes: [2]string{"ingress_", "egress_"}, loaded: map[linkType]*programPair{ethernetLink: first}}
	f.progs.load = func(names [2]string) (*programPair, error) {
		made, err := load(names)
		if pins := f.pins(); err == nil && pins != nil {
			_ = pins.addPrograms(made.sides()) // MendPins finds what is missing
		}
		return made, err
	}
	f.tcx.progs = programs{prefixes: [2]string{"tcx_in_", "tcx_out_"}, load: load}
	f.tcx.pins = func() *pins { return f.pins() }
}

func (f *filters) open(id string) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("gate: netlink: %w", err)
	}
	f.id, f.nl, f.attached = id, nl, make(map[int]*attachment)
	return nil
}

// Attach puts the gate on an interface of the network namespace that Load was
// called in, before what others have there. Attaching twice is no error. Interfaces whose packets carry neither
// an Ethernet header nor a bare IP packet are refused with gate.ErrDevice, those on which a qdisc
// excludes clsact, on a kernel without tcx (before Linux 6.6), with gate.ErrExcluded.
func (f *filters) Attach(ifindex int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nl == nil {
		return net.ErrClosed
	}
	if f.attached[ifindex] != nil {
		return nil
	}
	return f.attach(ifindex)
}

func (f *filters) attach(ifindex int) error {
	on, err := f.nl.LinkByIndex(ifindex)
	if err != nil {
		return fmt.Errorf("gate: attach to interface %d: %w", ifindex, err)
	}
	progs, err := f.progs.on(on)
	if err != nil {
		return fmt.Errorf("gate: attach to %s: %w", on.Attrs().Name, err)
	}
	ahead, err := f.foreignPrograms(ifindex)
	if err != nil {
		return fmt.Errorf("gate: attach to %s: %w", on.Attrs().Name, err)
	}
	if len(ahead) > 0 && f.attachTCX(on, ahead) == nil {
		return nil
	}
	err = f.attachFilters(on, progs, ahead, [2]bool{})
	if !errors.Is(err, gate.ErrExcluded) {
		return err
	}
	if terr := f.attachTCX(on, ahead); terr != nil {
		return fmt.Errorf("%w, and tcx: %w", err, terr)
	}
	return nil
}

// attachFilters attaches the programs as filters before foreign ones, but for what
// is there already.
func (f *filters) attachFilters(on netlink.Link, progs *programPair, ahead []foreignProgram, there [2]bool) error {
	ifindex := on.Attrs().Index
	made, err := addClsact(f.nl, ifindex)
	if err != nil {
		return fmt.Errorf("gate: clsact on %s: %w", on.Attrs().Name, unsupported("clsact", err))
	}
	if !made {
		// If it is there for other engines only, the last one takes it away.
		if made, err = enginesOnly(f.nl, ifindex); err != nil {
			return fmt.Errorf("gate: filters on %s: %w", on.Attrs().Name, err)
		}
	}
	a := &attachment{made: made, yield: yielding(ahead)}
	for i, prog := range progs.sides() {
		if a.ids[i], err = programID(prog); err == nil && !there[i] {
			err = addFilter(f.nl, ifindex, filterName(f.id, sides[i]), sides[i].parent, prog, before(ahead))
		}
		if err != nil {
			f.set(ifindex, nil)
			_ = f.takeOff(ifindex, a)
			return fmt.Errorf("gate: filter on %s: %w", on.Attrs().Name, unsupported("BPF filters", err))
		}
	}
	f.set(ifindex, a)
	return nil
}

// Attached reports whether the gate is on an interface. It does not wait for the kernel: while
// Attach, Detach or Mend are about to put the gate there or to take it away it is not.
func (f *filters) Attached(ifindex int) bool {
	f.asked.RLock()
	defer f.asked.RUnlock()
	_, ok := f.attached[ifindex]
	return ok
}

// set says how the gate stands on an interface; nil: it is not there. mu is held.
func (f *filters) set(ifindex int, a *attachment) {
	f.asked.Lock()
	defer f.asked.Unlock()
	if a == nil {
		delete(f.attached, ifindex)
	} else {
		f.attached[ifindex] = a
	}
}

// Detach takes the gate off the interface. One that is gone, or was not
// attached to, is no error.
func (f *filters) Detach(ifindex int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.detach(ifindex)
}

func (f *filters) detach(ifindex int) error {
	a := f.attached[ifindex]
	if a == nil {
		return nil
	}
	f.set(ifindex, nil)
	err := f.takeOff(ifindex, a)
	if err != nil {
		return fmt.Errorf("gate: detach from interface %d: %w", ifindex, err)
	}
	return nil
}

// takeOff removes what an attachment has on the interface.
func (f *filters) takeOff(ifindex int, a *attachment) error {
	if a.byTCX() {
		err := f.tcx.remove(ifindex, a)
		if a.made {
			err = errors.Join(err, gone(removeClsact(f.nl, ifindex)))
		}
		return err
	}
	_, err := removeFilters(f.nl, ifindex, a.made, func(id string) bool { return id == f.id })
	return err
}

func (f *filters) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := []error{f.progs.close(), f.tcx.progs.close()} // what is attached stays so
	if f.nl == nil {
		return errors.Join(errs...)
	}
	for ifindex := range f.attached {
		errs = append(errs, f.detach(ifindex))
	}
	f.nl.Close()
	f.nl = nil
	return errors.Join(errs...)
}

// on is of for an interface. The error is gate.ErrDevice where no program knows its packets.
func (p *programs) on(l netlink.Link) (*programPair, error) {
	t, err := typeOf(l)
	if err != nil {
		return nil, err
	}
	return p.of(t)
}

func typeOf(l netlink.Link) (linkType, error) {
	switch t := l.Attrs().EncapType; t {
	case "ether", "loopback":
		return ethernetLink, nil
	case "none", "ppp", "ipip", "tunnel6", "sit", "unknown519": // 519: ARPHRD_RAWIP
		return layer3Link, nil
	default:
		return "", fmt.Errorf("%w %q", gate.ErrDevice, t)
	}
}

func clsact(ifindex int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
}

// addClsact makes sure that the interface has a clsact qdisc and reports
// whether it made it.
func addClsact(nl *netlink.Handle, ifindex int) (bool, error) {
	err := nl.QdiscAdd(clsact(ifindex))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, err
	}
	kind, err := ingressKind(nl, ifindex)
	if err == nil && kind != "clsact" {
		err = fmt.Errorf("%w: its kind is %q", gate.ErrExcluded, kind)
	}
	return false, err
}

func ingressKind(nl *netlink.Handle, ifindex int) (string, error) {
	qdiscs, err := nl.QdiscList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}})
	for _, q := range qdiscs {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT {
			return q.Type(), nil
		}
	}
	return "", err
}

// enginesOnly reports whether the interface has filters and all are gates'.
func enginesOnly(nl *netlink.Handle, ifindex int) (bool, error) {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	found := false
	for _, s := range sides {
		list, err := nl.FilterList(link, s.parent)
		if err != nil {
			return false, err
		}
		for _, filter := range list {
			if _, ours := engineID(filter, s); !ours {
				return false, nil
			}
			found = true
		}
	}
	return found, nil
}

func addFilter(nl *netlink.Handle, ifindex int, name string, parent uint32, prog *ebpf.Program, priority uint16) error {
	var err error
	for prio := priority; prio < filterPriority+maxPriorities; prio++ {
		err = nl.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: ifindex,
				Parent:    parent,
				Handle:    0, // the kernel takes the next free one
				Protocol:  unix.ETH_P_ALL,
				Priority:  prio,
			},
			Fd:           prog.FD(),
			Name:         name,
			DirectAction: true,
		})
		// EINVAL: the priority holds filters of another kind or protocol.
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return err
}

// cleanStale removes, from all interfaces of the calling thread's network
// namespace, the filters of engines that are gone, and their clsact qdiscs if
// nothing else is on them. alive says whether the engine with the ID lives. It
// returns the IDs that it removed.
func cleanStale(alive func(id string) bool) ([]string, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("gate: netlink: %w", err)
	}
	defer nl.Close()
	links, err := nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("gate: list interfaces: %w", err)
	}
	var ids []string
	var errs []error
	seen := make(map[string]bool)
	for _, link := range links {
		ifindex := link.Attrs().Index
		if kind, err := ingressKind(nl, ifindex); err != nil || kind != "clsact" {
			errs = append(errs, err)
			continue
		}
		removed, err := removeFilters(nl, ifindex, true, func(id string) bool { return !alive(id) })
		errs = append(errs, err)
		for _, id := range removed {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids, errors.Join(errs...)
}

// removeFilters removes the gate's filters whose engine ID matches and returns
// the IDs. If it removed any and clsact is set, it removes the qdisc too, unless
// filters are left on it.
func removeFilters(nl *netlink.Handle, ifindex int, clsactToo bool, match func(id string) bool) ([]string, error) {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	var ids []string
	left := 0
	for _, s := range sides {
		list, err := nl.FilterList(link, s.parent)
		if err != nil {
			return ids, gone(err)
		}
		for _, filter := range list {
			id, ours := engineID(filter, s)
			if !ours || !match(id) {
				left++
				continue
			}
			if err := nl.FilterDel(filter); err != nil {
				return ids, gone(err)
			}
			ids = append(ids, id)
		}
	}
	if !clsactToo || left > 0 || len(ids) == 0 {
		return ids, nil
	}
	return ids, gone(nl.QdiscDel(clsact(ifindex)))
}

// removeClsact removes the qdisc if there is one and nothing is on it.
func removeClsact(nl *netlink.Handle, ifindex int) error {
	if kind, err := ingressKind(nl, ifindex); err != nil || kind != "clsact" {
		return err
	}
	for _, s := range sides {
		list, err := nl.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, s.parent)
		if err != nil || len(list) > 0 {
			return err
		}
	}
	return nl.QdiscDel(clsact(ifindex))
}

// engineID returns the engine whose filter it is, if it is a gate's.
func engineID(filter netlink.Filter, s side) (string, bool) {
	bpf, ok := filter.(*netlink.BpfFilter)
	if !ok {
		return "", false
	}
	rest, ok := strings.CutPrefix(bpf.Name, filterPrefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ":"+s.suffix)
}

// gone turns the errors of an interface or qdisc that has vanished into nil:
// its filters went with it.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
