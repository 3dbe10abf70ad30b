package config

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func checkInterfaces(c *checker, path string, n *node) {
	for i, item := range n.list {
		switch {
		case item.text == "" || len(item.text) >= unix.IFNAMSIZ || strings.ContainsAny(item.text, "/: \t\n") || item.text == "." || item.text == "..":
			c.complain(item.at, path, fmt.Sprintf("1 to %d characters, such as \"eth0\"", unix.IFNAMSIZ-1), "%s: %q cannot be the name of an interface", path, item.text)
		case slices.ContainsFunc(n.list[:i], func(o *node) bool { return o.text == item.text }):
			c.complain(item.at, path, "remove one", "%s: %q is there twice", path, item.text)
		}
	}
	if len(n.list) == 0 {
		c.complain(n.at, path, "remove the key, if all interfaces are meant", "%s is empty", path)
	}
}

// wanted are the interfaces that a service wants.
type wanted struct {
	label string
	set   []string // sorted; empty: all
	own   *node    // its own key, if it has one
}

// wants takes what decodeService has left of the service.
func (c *checker) wants(f *File, s *Service) wanted {
	own := c.seen["interfaces"]
	if own == nil {
		s.Interfaces = f.Engine.Interfaces
	}
	return wanted{label: c.label, set: slices.Sorted(slices.Values(s.Interfaces)), own: own}
}

// agree checks that all services want the same interfaces, because there is
// one gate for them, and makes it the engine's set.
func (c *checker) agree(f *File, services []wanted) {
	c.prefix = "service."
	defer func() { c.service, c.prefix = "", "" }()
	for i, s := range services {
		if s.own == nil {
			continue
		}
		for j, other := range services {
			// Of two that name different ones the later is blamed.
			if slices.Equal(other.set, s.set) || j > i && other.own != nil {
				continue
			}
			where := "all interfaces"
			if len(other.set) > 0 {
				where = strings.Join(other.set, ", ")
			}
			c.service = s.label
			c.complain(s.own.name, "interfaces", "use engine.interfaces, or another ftnet for the service",
				"interfaces: service %s is protected on %s, and an engine has one set for all its services", other.label, where)
			break
		}
	}
	if len(services) > 0 {
		f.Engine.Interfaces = f.Services[0].Interfaces
	}
}
