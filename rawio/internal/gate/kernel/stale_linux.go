package kernel

import (
	"errors"
	"slices"
)

// FindStale finds, and does not change, what dead engines have left in the calling
// thread's network namespace, and stale pins in the BPF file system, if one is
// mounted. alive reports whether the engine with the ID lives. With an
// error FindStale also returns what it has found.
func FindStale(bpffs string, alive func(id string) bool) (stale Stale, err error) {
	look := func(id string) bool {
		if !alive(id) && !slices.Contains(stale.Attached, id) {
			stale.Attached = append(stale.Attached, id)
		}
		return true
	}
	filters, err := gateFilters()
	for _, f := range filters {
		look(f.id)
	}
	_, linkErr := cleanLinks(bpffs, look)
	pins, pinErr := findStalePins(bpffs)
	stale.Pins = pins
	return stale, errors.Join(err, linkErr, pinErr)
}

// RemoveStale removes what FindStale finds, the clsact qdiscs without other filters, and then the
// pins that are no longer needed. It returns what it has removed.
func RemoveStale(bpffs string, alive func(id string) bool) (removed Stale, err error) {
	removed.Attached, err = cleanStale(alive)
	links, linkErr := cleanLinks(bpffs, alive)
	for _, id := range links {
		if !slices.Contains(removed.Attached, id) {
			removed.Attached = append(removed.Attached, id)
		}
	}
	pins, pinErr := removeStalePins(bpffs)
	removed.Pins = pins
	return removed, errors.Join(err, linkErr, pinErr)
}
