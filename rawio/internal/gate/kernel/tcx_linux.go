package kernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tcx attaches programs without a qdisc, before all filters (Linux 6.6). Its verdicts
// are fewer: see tcx() in bpf/gate.c.
//
// Nothing tells of a program there whose it is, unless one may open all programs. So
// the gate attaches by links, which end with the engine, or are pinned with the rest of
// the gate: what is left behind belongs to the pins that it lies among.
type tcx struct {
	progs programs
	pins  func() *pins // nil: there are none
}

var tcxSides = [2]ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

// attachTCX attaches by tcx, before strangers. What the interface had of the gate goes
// only then, so that no packet passes unjudged meanwhile.
func (f *filters) attachTCX(on netlink.Link, ahead []foreignProgram) error {
	ifindex := on.Attrs().Index
	old := f.attached[ifindex]
	t, err := typeOf(on)
	if err != nil {
		return err
	}
	load := f.tcx.progs.of
	if old != nil { // a program can stand on an interface only once
		load = f.tcx.progs.fresh
	}
	progs, err := load(t)
	if err != nil {
		return err
	}
	a := &attachment{yield: yielding(ahead)}
	for i, prog := range progs.sides() {
		if a.ids[i], err = programID(prog); err == nil {
			a.links[i], err = link.AttachTCX(link.TCXOptions{
				Interface: ifindex, Program: prog, Attach: tcxSides[i], Anchor: link.Head(),
			})
		}
		if err != nil {
			_ = f.tcx.remove(ifindex, a)
			return unsupported("tcx", err)
		}
	}
	f.set(ifindex, a)
	if old != nil {
		err = f.takeOff(ifindex, old)
		if kind, _ := ingressKind(f.nl, ifindex); kind == "clsact" {
			a.made = old.made // strangers are on it, who may go before the gate does
		}
	}
	f.tcx.pin(ifindex, a)
	return err
}

// pin pins an attachment's links, if there are pins. What stands in the way of it is
// no error, as with all pins.
func (t *tcx) pin(ifindex int, a *attachment) {
	p := t.pins()
	if p == nil {
		return
	}
	for i, l := range a.links {
		name := tcxPin(ifindex, i)
		_ = p.unpin(name) // of one that went with an interface of this index
		_ = l.Pin(p.at(name))
	}
}

// remove takes an attachment's links off the interface, which may be gone.
func (t *tcx) remove(ifindex int, a *attachment) error {
	var errs []error
	p := t.pins()
	for i, l := range a.links {
		if l == nil {
			continue
		}
		if p != nil {
			errs = append(errs, p.unpin(tcxPin(ifindex, i)))
		}
		errs = append(errs, detachLink(l))
		a.links[i] = nil
	}
	return errors.Join(errs...)
}

// detachLink detaches at once, whoever else holds the link.
func detachLink(l link.Link) error {
	err := l.Detach()
	if errors.Is(err, unix.ENOLINK) {
		err = nil // its interface is gone
	}
	return errors.Join(gone(err), l.Close())
}

// leave gives up what is attached as the engine's death does.
func (f *filters) leave() {
	for ifindex, a := range f.attached {
		f.set(ifindex, nil)
		a.close()
	}
}

// close closes the links. What is pinned stays.
func (a *attachment) close() {
	for _, l := range a.links {
		if l != nil {
			l.Close()
		}
	}
}

// tcxPin names the pin of a side's link.
func tcxPin(ifindex, side int) string {
	return tcxPinPrefix + strconv.Itoa(ifindex) + "-" + sides[side].suffix
}

const tcxPinPrefix = "tcx-"

// tcxPinned is what the name of such a pin says.
func tcxPinned(name string) (ifindex, side int, ok bool) {
	rest, ok := strings.CutPrefix(name, tcxPinPrefix)
	number, suffix, found := strings.Cut(rest, "-")
	ifindex, err := strconv.Atoi(number)
	if !ok || !found || err != nil {
		return 0, 0, false
	}
	for i, s := range sides {
		if s.suffix == suffix {
			return ifindex, i, true
		}
	}
	return 0, 0, false
}

// links opens the pinned links that are on an interface still. Close them.
func (p *pins) links() (map[int]*attachment, error) {
	names, err := p.list()
	if err != nil {
		return nil, fmt.Errorf("gate: pins: %w", err)
	}
	all := make(map[int]*attachment)
	for _, name := range names {
		ifindex, side, ok := tcxPinned(name)
		if !ok {
			continue
		}
		l, err := link.LoadPinnedLink(p.at(name), nil)
		if err != nil {
			return all, unsupported("the pin "+p.path()+"/"+name, err)
		}
		info, err := l.Info()
		if err != nil || info.TCX() == nil || int(info.TCX().Ifindex) != ifindex {
			l.Close()
			continue
		}
		if all[ifindex] == nil {
			all[ifindex] = new(attachment)
		}
		all[ifindex].links[side], all[ifindex].ids[side] = l, info.Program
	}
	return all, nil
}

// adoptTCX puts this gate's programs in the places of another's.
func (f *filters) adoptTCX(all map[int]*attachment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for ifindex, a := range all {
		if err := f.adoptLinks(ifindex, a); gone(err) != nil {
			errs = append(errs, fmt.Errorf("gate: adopt the links on interface %d: %w", ifindex, err))
		}
	}
	return errors.Join(errs...)
}

func (f *filters) adoptLinks(ifindex int, a *attachment) error {
	if a.links[0] == nil || a.links[1] == nil { // it was killed in the middle of Attach
		return f.tcx.remove(ifindex, a)
	}
	on, err := f.link(ifindex)
	if err != nil {
		return errors.Join(err, f.tcx.remove(ifindex, a))
	}
	progs, err := f.tcx.progs.on(on)
	if err != nil {
		return err
	}
	for i, prog := range progs.sides() {
		if err := a.links[i].Update(prog); err != nil {
			return err
		}
		if a.ids[i], err = programID(prog); err != nil {
			return err
		}
	}
	old := f.attached[ifindex]
	f.set(ifindex, a)
	if old != nil { // it was killed when it went from filters to tcx
		return f.takeOff(ifindex, old)
	}
	return nil
}

// cleanLinks removes what engines that are gone have attached by tcx in the calling
// thread's network namespace, which their pins tell. alive says whether the engine with
// the ID lives. It returns the IDs of those that had something. Call it with cleanStale.
func cleanLinks(bpffs string, alive func(id string) bool) (ids []string, err error) {
	netns, err := netnsInode()
	if err != nil {
		return nil, err
	}
	err = eachPins(bpffs, func(r *pinRoot, name string) error {
		its, id, _ := strings.Cut(name, "-")
		if its != netns {
			return nil
		}
		p, err := r.open(name)
		if errors.Is(err, errPinned) {
			return nil
		}
		if err != nil {
			return err
		}
		defer p.leave()
		all, err := p.links()
		var errs []error
		dead := err == nil && len(all) > 0 && !alive(id)
		for ifindex, a := range all {
			if dead {
				for side := range sides {
					errs = append(errs, p.unpin(tcxPin(ifindex, side)))
				}
			}
			for _, l := range a.links {
				if dead && l != nil {
					errs = append(errs, l.Detach())
				}
			}
			a.close()
		}
		if dead {
			ids = append(ids, id)
		}
		return errors.Join(append(errs, err)...)
	})
	return ids, err
}
