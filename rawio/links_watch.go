package rawio

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// watch keeps the gate on interfaces, those that come up later among them, until closing
// is closed. The caller closes l afterwards.
func (l *links) watch(closing <-chan struct{}) {
	timer := time.NewTimer(proofEvery)
	defer timer.Stop()
	for {
		select {
		case <-closing:
			return
		case <-l.news.wake:
		case <-l.wakeup:
		case <-timer.C:
		}
		timer.Reset(time.Until(l.step()))
	}
}

// step does what is due, and returns when to call it again.
func (l *links) step() time.Time {
	changes, lost := l.news.take()
	if lost || l.unlisted {
		l.relist()
	}
	for index, c := range changes {
		l.changedAt(index, c)
	}
	now := time.Now()
	// A busy engine may not yet have processed the events of proofs.
	lostProofs, err := l.catchUp()
	if err != nil {
		lostProofs = l.prover.lost + 1
	}
	return l.round(now, lostProofs)
}

// relist lists the interfaces, after notifications were lost. An interface that was recreated
// with the same index has lost the gate, which round finds.
func (l *links) relist() {
	list, err := l.list()
	if l.unlisted = err != nil; err != nil {
		l.log.Warn("interfaces not listed", "error", err)
		return
	}
	there := map[int]bool{}
	for _, link := range list {
		there[link.Attrs().Index] = true
	}
	for _, i := range l.known() {
		if there[i] {
			l.lookAt(i)
		} else {
			l.forget(i)
		}
	}
	for _, link := range list {
		l.considerLater(link)
	}
}

// changedAt checks an interface after a change.
func (l *links) changedAt(index int, c linkChange) {
	if c.gone {
		l.forget(index)
	}
	if c.tc {
		l.lookAt(index)
	}
	link, err := l.nl.LinkByIndex(index)
	switch {
	case err == nil:
		l.considerLater(link)
	case errors.As(err, new(netlink.LinkNotFoundError)):
		l.forget(index)
	default:
		l.log.Debug("interface state unknown", "interface", index, "error", err)
		l.unlisted = true
	}
}

// considerLater is consider when nobody waits for the error of a named interface.
func (l *links) considerLater(link netlink.Link) {
	if err := l.consider(link); err != nil {
		l.log.Warn("interface is not protected", "error", err)
	}
}

// lookAt makes round check whether the gate is still on an interface.
func (l *links) lookAt(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.all[index]; g != nil {
		g.look = true
	}
}

// known returns the interfaces that the gate is on, or should be, and those to which it could not be
// attached.
func (l *links) known() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.all))
}

// round does what is due, reports what has changed, and returns when to call it again. All events of
// the gate until now must have been processed; lost is how many were lost.
func (l *links) round(now time.Time, lost uint64) time.Time {
	next := now.Add(proofEvery)
	l.mu.Lock()
	l.prover.lost, l.prover.ports = lost, l.sightings.services()
	if err := l.prover.turn(now); err != nil {
		l.log.Warn("proof not registered at the gate", "error", err)
	}
	for _, g := range l.all {
		if due := l.prove(g, now); due.Before(next) {
			next = due
		}
	}
	news := l.takeChanges()
	l.mu.Unlock()
	if len(news) > 0 {
		l.changed(news)
	}
	return next
}

// takeChanges returns what changed is to be called with, and records it as reported. The reason of an
// interface that is gone is withdrawn. mu is held.
func (l *links) takeChanges() map[int]string {
	news := map[int]string{}
	for i := range l.reported {
		if l.all[i] == nil {
			news[i] = ""
		}
	}
	for i, g := range l.all {
		if g.why != l.reported[i] {
			news[i] = g.why
		}
	}
	for i, why := range news {
		if l.reported[i] = why; why == "" {
			delete(l.reported, i)
		}
	}
	return news
}
