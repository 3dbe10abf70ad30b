package kernel

import (
	"errors"
	"slices"
)

// Left looks, and touches nothing, for what engines that are gone have left in the calling
// thread's network namespace, and for pins in the BPF file system that serve nobody; one
// that is not mounted has none. alive says whether the engine with the ID lives. With an
// error it returns what it has found all the same.
func Left(bpffs string, alive func(id string) bool) (left Leftovers, err error) {
	look := func(id string) bool {
		if !alive(id) && !slices.Contains(left.Attached, id) {
			left.Attached = append(left.Attached, id)
		}
		return true
	}
	filters, err := gateFilters()
	for _, f := range filters {
		look(f.id)
	}
	_, linkErr := cleanLinks(bpffs, look)
	pins, pinErr := leftPins(bpffs)
	left.Pins = pins
	return left, errors.Join(err, linkErr, pinErr)
}

// Clean removes what Left finds, the clsact qdiscs that nothing else is on, and then the
// pins that served nothing else. It returns what it has removed.
func Clean(bpffs string, alive func(id string) bool) (gone Leftovers, err error) {
	gone.Attached, err = cleanStale(alive)
	links, linkErr := cleanLinks(bpffs, alive)
	for _, id := range links {
		if !slices.Contains(gone.Attached, id) {
			gone.Attached = append(gone.Attached, id)
		}
	}
	pins, pinErr := cleanPins(bpffs)
	gone.Pins = pins
	return gone, errors.Join(err, linkErr, pinErr)
}
