package config

import (
	"maps"
	"reflect"
	"slices"
)

// Changes is what a reload has to do.
type Changes struct {
	Added   []*Service // of the new file
	Removed []*Service // of the old file
	Changed []Change   // services that are in both, with differences

	// Live are the keys outside services that changed and can be applied at
	// once, such as "engine.log-level".
	Live []string
	// Restart are the keys that changed and cannot be applied while ftnet
	// runs, such as "log.url". The old values stay until it is restarted.
	Restart []string
}

// Empty reports whether there is nothing to do.
func (c Changes) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Live)+len(c.Restart) == 0
}

// Change is a service that differs.
type Change struct {
	Old, New *Service
	// Restart are the keys for which the service is restarted through recovery,
	// its connections open, such as "command". "binary" means that the
	// program's file was replaced.
	Restart []string
	// Policy are the keys that are applied without touching its process.
	Policy []string
}

// Diff says how the new file differs. A service whose mode changed is removed
// and added: its connections cannot be carried over.
func (f *File) Diff(next *File) Changes {
	var changes Changes
	for _, k := range fileKeys {
		switch {
		case equal(k, f, next):
		case k.effect == engine:
			changes.Restart = append(changes.Restart, k.path)
		default:
			changes.Live = append(changes.Live, k.path)
		}
	}
	for i := range f.Services {
		old := &f.Services[i]
		if now := next.Service(old.Name); now == nil || now.Mode != old.Mode {
			changes.Removed = append(changes.Removed, old)
		}
	}
	for i := range next.Services {
		now := &next.Services[i]
		old := f.Service(now.Name)
		if old == nil || old.Mode != now.Mode {
			changes.Added = append(changes.Added, now)
			continue
		}
		c := Change{Old: old, New: now}
		c.compare()
		if len(c.Restart)+len(c.Policy) > 0 {
			changes.Changed = append(changes.Changed, c)
		}
	}
	return changes
}

// compare sorts the keys that differ by what they take.
func (c *Change) compare() {
	for _, k := range serviceKeys {
		switch {
		case k.alias || equal(k, c.Old, c.New):
		case k.effect == restart:
			c.Restart = append(c.Restart, k.path)
		default:
			c.Policy = append(c.Policy, k.path)
		}
	}
	if c.Old.Binary != c.New.Binary && slices.Equal(c.Old.Command, c.New.Command) && c.Old.Dir == c.New.Dir {
		c.Restart = append(c.Restart, "binary")
	}
}

// equal compares what a key says. An empty list or map is as
// good as none.
func equal[T any](k key[T], a, b *T) bool {
	x, y := k.field(a), k.field(b)
	switch x := x.(type) {
	case *Limits:
		name := leaf(k.path)
		p, has := (*x)[name]
		q, had := (*y.(*Limits))[name]
		return p == q && has == had
	case *[]string:
		y := y.(*[]string)
		return slices.Equal(*x, *y) && ((*x == nil) == (*y == nil) || k.path != "groups") // groups = [] is none
	case *map[string]string:
		return maps.Equal(*x, *y.(*map[string]string))
	}
	return reflect.DeepEqual(x, y)
}
