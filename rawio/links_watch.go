package rawio

import (
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watch keeps the gate on interfaces, those that come up later among them, until closing
// is closed.
func (l *links) watch(closing <-chan struct{}) {
	defer l.close()
	timer := time.NewTimer(proofEvery)
	defer timer.Stop()
	updates := l.updates
	for {
		select {
		case <-closing:
			return
		case u, ok := <-updates:
			if !ok {
				l.log.Warn("interfaces are no longer watched")
				updates = nil
				continue
			}
			l.update(u)
		case index := <-l.news.changes:
			l.changedAt(index)
		case <-l.kick:
		case <-timer.C:
		}
		now := time.Now()
		// An engine that has much to do may not have looked at the proofs that have come.
		lost, err := l.catchUp()
		if err != nil {
			lost = l.prover.lost + 1
		}
		timer.Reset(time.Until(l.round(now, lost)))
	}
}

func (l *links) update(u netlink.LinkUpdate) {
	if u.Header.Type == unix.RTM_DELLINK {
		l.forget(int(u.Index))
		return
	}
	if err := l.consider(u.Link); err != nil {
		l.log.Warn("interface is not protected", "error", err)
	}
}

// changedAt has round look at an interface, or at all if index is 0, where traffic control
// has changed.
func (l *links) changedAt(index int) {
	var again []int
	l.mu.Lock()
	for i, g := range l.all {
		if index != 0 && i != index {
			continue
		}
		g.look = true
		if g.refused != nil {
			again = append(again, i)
		}
	}
	l.mu.Unlock()
	for _, i := range again { // what stood in the way may have gone
		if link, err := netlink.LinkByIndex(i); err == nil {
			_ = l.consider(link) // it was said why not
		}
	}
}

// round does what is due, tells what has changed, and returns when to come again. All that
// the gate has reported until now is known, but for those reports that were lost.
func (l *links) round(now time.Time, lost uint64) time.Time {
	next := now.Add(proofEvery)
	type change struct {
		index int
		why   string
	}
	var changes []change
	l.mu.Lock()
	l.prover.lost = lost
	if err := l.prover.turn(now); err != nil {
		l.log.Warn("the gate does not take a proof", "error", err)
	}
	for i, g := range l.all {
		if due := l.prove(g, now); due.Before(next) {
			next = due
		}
		if g.why != g.told {
			g.told = g.why
			changes = append(changes, change{i, g.why})
		}
	}
	l.mu.Unlock()
	for _, c := range changes {
		l.changed(c.index, c.why)
	}
	return next
}
