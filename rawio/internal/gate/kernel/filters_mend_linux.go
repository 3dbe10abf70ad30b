package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// foreignProgram is a program that others have attached before the gate: its verdict may be final.
type foreignProgram struct {
	what     string // for people, and to know it again
	priority uint16 // of a filter; 0: it is a tcx program
}

func yielding(list []foreignProgram) map[string]bool {
	all := make(map[string]bool)
	for _, s := range list {
		all[s.what] = true
	}
	return all
}

// before is a priority with which filters run before those of others.
func before(list []foreignProgram) uint16 {
	priority := uint16(filterPriority)
	for _, s := range list {
		if s.priority > 1 {
			priority = min(priority, s.priority-1)
		}
	}
	return priority
}

// Mend looks whether the gate still stands where Attach put it, before everything
// that others have on the interface, and attaches it again if not. What it found is in
// was, an error that satisfies errors.Is with gate.ErrAway or gate.ErrBehind; nil: all is well. An
// error in err says that the gate could not be put in its place.
//
// Who goes before the gate again after the gate has passed him is left there: two who
// both want to be first would go on for ever. Whether packets reach the gate all the
// same only a packet can tell: see BindProof.
func (f *filters) Mend(ifindex int) (was, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nl == nil {
		return nil, net.ErrClosed
	}
	a := f.attached[ifindex]
	on, err := f.link(ifindex)
	if err != nil {
		return nil, gone(err)
	}
	if a == nil { // the last attempt has failed
		return gate.ErrAway, f.attach(ifindex)
	}
	there, ahead, err := f.standing(ifindex, a)
	if err != nil {
		return nil, gone(err)
	}
	passed := a.yield
	switch fresh := unknown(ahead, passed); {
	case !there[0] || !there[1]:
		was, err = gate.ErrAway, f.again(on, a, there, ahead)
	case len(fresh) > 0:
		was = fmt.Errorf("%w: %s", gate.ErrBehind, fresh[0].what)
		if err = f.attachTCX(on, ahead); err != nil && !a.byTCX() { // no tcx here
			if err = f.detach(ifindex); err == nil {
				err = f.attach(ifindex)
			}
		}
	default:
		return nil, nil
	}
	if now := f.attached[ifindex]; now != nil && passed != nil {
		if now.yield == nil {
			now.yield = make(map[string]bool)
		}
		maps.Copy(now.yield, passed)
	}
	return was, err
}

// Overtaken reports whether tcx programs run before the gate, which Mend would report. The
// kernel sends no notification of such programs. It costs a few system calls.
func (f *filters) Overtaken(ifindex int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attached[ifindex]
	if a == nil {
		return false
	}
	there, ahead, err := f.standingTCX(ifindex, a)
	return err == nil && (len(unknown(ahead, a.yield)) > 0 || a.byTCX() && there != [2]bool{true, true})
}

func unknown(list []foreignProgram, known map[string]bool) (fresh []foreignProgram) {
	for _, s := range list {
		if !known[s.what] {
			fresh = append(fresh, s)
		}
	}
	return fresh
}

// again attaches what is missing of an attachment.
func (f *filters) again(on netlink.Link, a *attachment, there [2]bool, ahead []foreignProgram) error {
	if a.byTCX() {
		return f.attachTCX(on, ahead)
	}
	progs, err := f.progs.on(on)
	if err != nil {
		return err
	}
	err = f.attachFilters(on, progs, ahead, there)
	if errors.Is(err, gate.ErrExcluded) {
		err = f.attachTCX(on, ahead)
	}
	return err
}

// foreignPrograms returns those that would run before a gate that is about to be attached.
func (f *filters) foreignPrograms(ifindex int) ([]foreignProgram, error) {
	_, ahead, err := f.standing(ifindex, nil)
	return ahead, err
}

// standing tells which sides the attachment has on the interface, and who stands before
// it; before where Attach would put one, if a is nil.
func (f *filters) standing(ifindex int, a *attachment) (there [2]bool, ahead []foreignProgram, err error) {
	there, ahead, err = f.standingTCX(ifindex, a)
	if err != nil || a != nil && a.byTCX() {
		return there, ahead, err
	}
	kind, err := ingressKind(f.nl, ifindex)
	if err != nil || kind != "clsact" {
		return there, ahead, err
	}
	for i := range sides {
		found, list, err := f.filtersAhead(ifindex, i, a)
		if err != nil {
			return there, nil, err
		}
		there[i] = found
		ahead = append(ahead, list...)
	}
	return there, ahead, nil
}

func (f *filters) standingTCX(ifindex int, a *attachment) (there [2]bool, ahead []foreignProgram, err error) {
	for i := range sides {
		programs, err := tcxProgramsOn(ifindex, tcxSides[i])
		if err != nil {
			return there, nil, fmt.Errorf("gate: tcx programs: %w", err)
		}
		for _, p := range programs {
			if a != nil && p.ID == a.ids[i] {
				there[i] = true
				break
			}
			if !isGate(p.ID) {
				ahead = append(ahead, foreignProgram{what: fmt.Sprintf("tcx program %d (%s)", p.ID, sides[i].suffix)})
			}
		}
	}
	return there, ahead, nil
}

// filtersAhead lists the filters that run before the attachment's on a side. The kernel
// lists them in the order in which they run.
func (f *filters) filtersAhead(ifindex, side int, a *attachment) (there bool, ahead []foreignProgram, err error) {
	on := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	list, err := f.nl.FilterList(on, sides[side].parent)
	if err != nil {
		return false, nil, err
	}
	for _, filter := range list {
		at := filter.Attrs()
		if at.Chain != nil && *at.Chain != 0 { // it runs when another one says so
			continue
		}
		if bpf, ok := filter.(*netlink.BpfFilter); ok && a != nil && ebpf.ProgramID(bpf.Id) == a.ids[side] {
			return true, ahead, nil
		}
		if a == nil && at.Priority >= filterPriority {
			break
		}
		if _, ours := engineID(filter, sides[side]); !ours {
			ahead = append(ahead, foreignProgram{
				what:     fmt.Sprintf("%s filter %#x with priority %d (%s)", filter.Type(), at.Handle, at.Priority, sides[side].suffix),
				priority: at.Priority,
			})
		}
	}
	return false, ahead, nil
}

// tcxProgramsOn lists the programs on an interface in the order in which they run; none
// on a kernel without tcx.
func tcxProgramsOn(ifindex int, side ebpf.AttachType) ([]link.AttachedProgram, error) {
	const attempts = 10
	var err error
	for range attempts {
		var all *link.QueryResult
		all, err = link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: side})
		switch {
		case err == nil:
			return all.Programs, nil
		case errors.Is(err, unix.ENOSPC): // there are more since they were counted
			continue
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL), errors.Is(err, ebpf.ErrNotSupported):
			return nil, nil
		}
		break
	}
	return nil, err
}

// isGate reports whether a tcx program is that of some engine's gate, which lets pass
// what is not its own. Without the privilege to open programs nobody can tell.
func isGate(id ebpf.ProgramID) bool {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false
	}
	defer p.Close()
	info, err := p.Info()
	return err == nil && (strings.HasPrefix(info.Name, "tcx_in_") || strings.HasPrefix(info.Name, "tcx_out_"))
}
