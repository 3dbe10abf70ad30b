package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wake makes watch look at the units again.
func (d *daemon) wake() {
	select {
	case d.moved <- struct{}{}:
	default:
	}
}

// watch tells log and service manager how the units are doing, until the daemon
// begins to end.
func (d *daemon) watch() {
	states := map[*unit]state{}
	said := ""
	for {
		text, settled := d.look(states)
		if settled && d.becomeReady() {
			d.tell(d.notify.Ready(text))
			d.log.Info("ready", "status", text)
		} else if text != said {
			d.tell(d.notify.Status(text))
		}
		said = text
		select {
		case <-d.moved:
		case <-d.ctx.Done():
			return
		}
	}
}

// look sums the units up, and logs which have ended since states was noted.
// settled: none is still on the way to its first connection.
func (d *daemon) look(states map[*unit]state) (text string, settled bool) {
	d.mu.Lock()
	units := d.unitList()
	d.mu.Unlock()
	settled = true
	for _, u := range units {
		_, st, err := u.get()
		if before, known := states[u]; st == ended && (!known || before != ended) {
			if err != nil {
				d.log.Error("service has ended", "service", u.name, "error", err)
			} else {
				d.log.Info("service has ended", "service", u.name, "error", nil)
			}
		}
		states[u] = st
		settled = settled && st != starting
	}
	maps.DeleteFunc(states, func(u *unit, _ state) bool { return !slices.Contains(units, u) })
	return summary(units), settled
}

// becomeReady reports whether the service manager has not been told yet.
func (d *daemon) becomeReady() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := !d.ready
	d.ready = true
	return first
}

// tell logs what the service manager could not be told.
func (d *daemon) tell(err error) {
	if err != nil {
		d.log.Warn("service manager not notified", "error", err)
	}
}

// unitList returns the units by name. d.mu is held.
func (d *daemon) unitList() []*unit {
	return slices.SortedFunc(maps.Values(d.units), func(a, b *unit) int { return cmp.Compare(a.name, b.name) })
}

// summary is the units in one line: "3 services up", or "1 of 3 services up; b is
// starting; c has ended: exit status 1".
func summary(units []*unit) string {
	n := 0
	var rest []string
	for _, u := range units {
		switch _, st, err := u.get(); {
		case st == serving:
			n++
		case st == starting:
			rest = append(rest, u.name+" is starting")
		case st == stopped:
			rest = append(rest, u.name+" is stopped")
		case err != nil:
			rest = append(rest, u.name+" has ended: "+err.Error())
		default:
			rest = append(rest, u.name+" has ended")
		}
	}
	if len(rest) == 0 {
		return count(n, "service") + " up"
	}
	return fmt.Sprintf("%d of %s up; %s", n, count(len(units), "service"), strings.Join(rest, "; "))
}

// unknown says which services there are instead of that one. d.mu is held.
func (d *daemon) unknown(name string) string {
	names := slices.Sorted(maps.Keys(d.units))
	return fmt.Sprintf("no service %q; there are: %s", name, strings.Join(names, ", "))
}
