package config

import "github.com/pelletier/go-toml/v2/unstable"

// open finds or makes the table of a [header] or an [[array header]]. Where
// TOML forbids it, that is reported and a table comes back that belongs to
// nothing, so that the rest of the file can be looked at.
func (d *document) open(path []part, array bool) *node {
	table := d.root
	for i, p := range path {
		last := i == len(path)-1
		c := table.child(p.name)
		switch {
		case c == nil:
			c = table.add(&node{kind: isTable, key: p.name, name: p.offset, at: p.offset})
			if last && array {
				c.kind = isTables
				return c.grow(p)
			}
			c.header = last
		case c.kind == isTables:
			if last && array {
				return c.grow(p)
			}
			if last {
				d.report(p.offset, "write [["+p.name+"]]", "[%s] is a list of tables since line %d", p.name, d.position(c.name).Line)
				return c.grow(p)
			}
			c = c.list[len(c.list)-1]
		case last && array && c.kind == isTable:
			d.report(p.offset, several(p.name, "write ["+p.name+"], once"), "[%s] is a single table since line %d", p.name, d.position(c.name).Line)
			return &node{kind: isTable}
		case c.kind != isTable || c.closed:
			d.report(p.offset, "", "%q has a value already, from line %d: it cannot be extended", p.name, d.position(c.name).Line)
			return &node{kind: isTable}
		case last && c.header:
			d.report(p.offset, several(p.name, "join the two"), "the table [%s] is there already, in line %d", p.name, d.position(c.name).Line)
		case last:
			c.header = true
		}
		table = c
	}
	return table
}

// several is the suggestion for a table that is there more than once.
func several(name, instead string) string {
	if name == "service" {
		return "write [[service]] for each"
	}
	return instead
}

// grow adds a table to an array of tables.
func (n *node) grow(p part) *node {
	t := &node{kind: isTable, name: p.offset, at: p.offset, header: true}
	n.list = append(n.list, t)
	return t
}

// assign enters `key = value` into the table.
func (d *document) assign(table *node, e *unstable.Node) {
	path := keys(e)
	last := path[len(path)-1]
	for _, p := range path[:len(path)-1] {
		c := table.child(p.name)
		switch {
		case c == nil:
			c = table.add(&node{kind: isTable, key: p.name, name: p.offset, at: p.offset})
		case c.kind != isTable || c.closed:
			d.report(p.offset, "", "%q has a value already, from line %d: it cannot be extended", p.name, d.position(c.name).Line)
			return
		}
		table = c
	}
	v := d.value(e.Value(), d.valueOffset(last.end))
	v.key, v.name = last.name, last.offset
	if c := table.child(v.key); c != nil {
		d.report(last.offset, "", "%q has a value already, from line %d", v.key, d.position(c.name).Line)
		return
	}
	table.add(v)
}

// valueOffset finds the value after a key that ends at the offset. Only blanks
// and the equals sign are between the two.
func (d *document) valueOffset(offset int) int {
	for offset < len(d.data) && (d.data[offset] == ' ' || d.data[offset] == '\t' || d.data[offset] == '=') {
		offset++
	}
	return offset
}
