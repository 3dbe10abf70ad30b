package table

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

// Table holds connections in the order in which they were opened. C is a pointer; nil stands
// for none. The zero Table is empty.
type Table[C comparable] struct {
	conns map[logserver.ConnID]C
	order []logserver.ConnID // removed ones included until compact
}

// Get returns a connection, or nil.
func (t *Table[C]) Get(id logserver.ConnID) C { return t.conns[id] }

// Len returns how many there are.
func (t *Table[C]) Len() int { return len(t.conns) }

// Add appends a connection. It returns false if there is one of this number.
func (t *Table[C]) Add(id logserver.ConnID, c C) bool {
	if _, ok := t.conns[id]; ok {
		return false
	}
	if t.conns == nil {
		t.conns = make(map[logserver.ConnID]C)
	}
	t.conns[id] = c
	t.order = append(t.order, id)
	return true
}

// Remove removes a connection, whose number must not be used again.
func (t *Table[C]) Remove(id logserver.ConnID) {
	delete(t.conns, id)
	if len(t.order) > 2*len(t.conns)+64 {
		t.compact()
	}
}

// TakeBack undoes Add: the number may be used again.
func (t *Table[C]) TakeBack(id logserver.ConnID) {
	delete(t.conns, id)
	for i := len(t.order) - 1; i >= 0; i-- {
		if t.order[i] == id {
			t.order = slices.Delete(t.order, i, i+1)
			return
		}
	}
}

// Clear removes all.
func (t *Table[C]) Clear() { *t = Table[C]{} }

// compact drops removed connections from t.order.
func (t *Table[C]) compact() {
	if len(t.order) != len(t.conns) {
		t.order = slices.DeleteFunc(t.order, func(id logserver.ConnID) bool { _, ok := t.conns[id]; return !ok })
	}
}

// All returns the connections in their order, in a slice that is the caller's.
func (t *Table[C]) All() []C { return t.list(0, len(t.order)) }

// Page returns up to n of them from the first-th on, counted from 0: see logserver.Log.Active.
func (t *Table[C]) Page(first, n int) ([]C, error) {
	if first < 0 || n < 0 {
		return nil, fmt.Errorf("%w: Active(%d, %d)", logserver.ErrInvalid, first, n)
	}
	return t.list(first, n), nil
}

func (t *Table[C]) list(first, n int) []C {
	t.compact()
	order := t.order[min(first, len(t.order)):]
	order = order[:min(n, len(order))]
	list := make([]C, len(order))
	for i, id := range order {
		list[i] = t.conns[id]
	}
	return list
}

// Ports are the server ports whose connections may be logged; 0 stands for all. The zero
// value has none.
type Ports struct{ of map[uint16]bool }

// Register adds a port. It returns false if it was there.
func (p *Ports) Register(port uint16) bool {
	if p.of[port] {
		return false
	}
	if p.of == nil {
		p.of = make(map[uint16]bool)
	}
	p.of[port] = true
	return true
}

// All returns the ports in no order.
func (p *Ports) All() iter.Seq[uint16] { return maps.Keys(p.of) }

// Check returns logserver.ErrNotRegistered for a port that is not there.
func (p *Ports) Check(port uint16) error {
	if p.of[0] || p.of[port] {
		return nil
	}
	return fmt.Errorf("%w: port %d", logserver.ErrNotRegistered, port)
}
