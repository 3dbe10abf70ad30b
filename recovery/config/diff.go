package config

import (
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
	for _, k := range fileSchema.keys {
		switch {
		case equal(&k, f, next):
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
	for _, k := range serviceSchema.keys {
		switch {
		case k.alias || k.effect == engine || equal(&k, c.Old, c.New): // an engine's is the file's
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

// equal compares what a key says in two structs of one type. An empty list or map is as
// good as none.
func equal(k *key, a, b any) bool {
	v, w := k.of(reflect.ValueOf(a).Elem()), k.of(reflect.ValueOf(b).Elem())
	switch {
	case k.kind == aLimit:
		p, has := v.Interface().(Limits)[leaf(k.path)]
		q, had := w.Interface().(Limits)[leaf(k.path)]
		return p == q && has == had
	case k.path == "groups" && v.IsNil() != w.IsNil(): // groups = [] is none
		return false
	case (k.kind == aList || k.kind == aMap) && v.Len()+w.Len() == 0:
		return true
	}
	return reflect.DeepEqual(v.Interface(), w.Interface())
}
