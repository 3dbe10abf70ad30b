package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// placed is one of a gate's filters.
type placed struct {
	*netlink.BpfFilter
	id   string
	side side
}

// gateFilters lists the filters of all gates in the calling thread's network
// namespace.
func gateFilters() ([]placed, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("gate: netlink: %w", err)
	}
	defer nl.Close()
	links, err := nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("gate: list interfaces: %w", err)
	}
	var all []placed
	for _, link := range links {
		if kind, err := ingressKind(nl, link.Attrs().Index); err != nil || kind != "clsact" {
			if gone(err) != nil {
				return nil, fmt.Errorf("gate: qdiscs of %s: %w", link.Attrs().Name, err)
			}
			continue
		}
		for _, s := range sides {
			list, err := nl.FilterList(link, s.parent)
			if gone(err) != nil {
				return nil, fmt.Errorf("gate: filters on %s: %w", link.Attrs().Name, err)
			}
			for _, f := range list {
				if id, ours := engineID(f, s); ours {
					all = append(all, placed{f.(*netlink.BpfFilter), id, s})
				}
			}
		}
	}
	return all, nil
}

// adopt puts this gate's programs in the places of another's.
func (f *filters) adopt(list []placed) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, old := range list {
		if err := f.replace(old); gone(err) != nil {
			return fmt.Errorf("gate: adopt the filter %s on interface %d: %w", old.Name, old.LinkIndex, err)
		}
	}
	for ifindex, there := range sidesOf(list) {
		if err := f.complete(ifindex, there); gone(err) != nil {
			return fmt.Errorf("gate: adopt the filters on interface %d: %w", ifindex, err)
		}
	}
	return nil
}

// complete makes an interface one that is attached: an engine that was killed in
// the middle of Attach or Detach has left one filter.
func (f *filters) complete(ifindex int, there []side) error {
	link, err := f.link(ifindex)
	if err != nil {
		return err
	}
	made, err := enginesOnly(f.nl, ifindex)
	if err != nil {
		return err
	}
	a := &attachment{made: made}
	f.set(ifindex, a)
	for i, s := range sides {
		prog, err := f.program(link, s)
		if err == nil {
			a.ids[i], err = programID(prog)
		}
		if err != nil {
			return err
		}
		if slices.Contains(there, s) {
			continue
		}
		if err := addFilter(f.nl, ifindex, filterName(f.id, s), s.parent, prog, filterPriority); err != nil {
			return err
		}
	}
	return nil
}

// replace exchanges the program of a filter, in one step for the packets that come by:
// RTM_NEWTFILTER on an existing handle.
func (f *filters) replace(old placed) error {
	link, err := f.link(old.LinkIndex)
	if err != nil {
		return err
	}
	prog, err := f.program(link, old.side)
	if err != nil {
		return err
	}
	return f.nl.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: old.LinkIndex,
			Parent:    old.side.parent,
			Handle:    old.Handle,
			Protocol:  unix.ETH_P_ALL,
			Priority:  old.Priority,
		},
		Fd:           prog.FD(),
		Name:         old.Name,
		DirectAction: true,
	})
}

// program picks the program for a side of the interface.
func (f *filters) program(link netlink.Link, s side) (*ebpf.Program, error) {
	progs, err := f.progs.on(link)
	switch {
	case err != nil:
		return nil, err
	case s == sides[0]:
		return progs.in, nil
	}
	return progs.out, nil
}

// link returns the interface, or ENODEV.
func (f *filters) link(ifindex int) (netlink.Link, error) {
	link, err := f.nl.LinkByIndex(ifindex)
	if _, none := errors.AsType[netlink.LinkNotFoundError](err); none {
		err = unix.ENODEV
	}
	return link, err
}

// sidesOf sorts filters by interface.
func sidesOf(list []placed) map[int][]side {
	all := make(map[int][]side)
	for _, f := range list {
		all[f.LinkIndex] = append(all[f.LinkIndex], f.side)
	}
	return all
}
