package south

import (
	"hash/maphash"

	"github.com/ftnet/ftnet/internal/segment"
)

// index finds connections by their flow. It is a hash table with linear
// probing that holds slot numbers only: a Go map would hold each flow a second
// time, a hundred bytes for each connection.
type index struct {
	seed  maphash.Seed
	slots *[]slotEntry
	cells []uint32 // slot+1, 0: empty; the length is a power of two
	n     int
	last  uint32 // the cell of the flow that was asked for last: packets come in runs
}

func newIndex(slots *[]slotEntry) index {
	return index{seed: maphash.MakeSeed(), slots: slots, cells: make([]uint32, 64)}
}

func (x *index) home(f segment.Flow) int {
	return int(maphash.Comparable(x.seed, f) & uint64(len(x.cells)-1))
}

// find returns the cell of the flow, or the empty one where it belongs.
func (x *index) find(f segment.Flow) int {
	i := x.home(f)
	for x.cells[i] != 0 && (*x.slots)[x.cells[i]-1].conn.Flow != f {
		i = (i + 1) & (len(x.cells) - 1)
	}
	return i
}

// get returns the flow's connection, or nil.
func (x *index) get(f segment.Flow) *Conn {
	if x.last != 0 {
		if c := (*x.slots)[x.last-1].conn; c != nil && c.Flow == f {
			return c
		}
	}
	s := x.cells[x.find(f)]
	if s == 0 {
		return nil
	}
	x.last = s
	return (*x.slots)[s-1].conn
}

// put adds a connection whose flow is not in the index. It must hold its slot.
func (x *index) put(c *Conn) {
	if 4*(x.n+1) > 3*len(x.cells) {
		old := x.cells
		x.cells = make([]uint32, 2*len(old))
		for _, s := range old {
			if s != 0 {
				x.cells[x.find((*x.slots)[s-1].conn.Flow)] = s
			}
		}
	}
	x.cells[x.find(c.Flow)] = c.slot + 1
	x.n++
}

// remove takes the flow out, if it is in, while its connection still holds the
// slot. What follows it in its cluster moves up.
func (x *index) remove(f segment.Flow) {
	i := x.find(f)
	if x.cells[i] == 0 {
		return
	}
	mask := len(x.cells) - 1
	x.n, x.last = x.n-1, 0
	x.cells[i] = 0
	for j := (i + 1) & mask; x.cells[j] != 0; j = (j + 1) & mask {
		s := x.cells[j]
		// Between its home and its cell every cell must be taken.
		if home := x.home((*x.slots)[s-1].conn.Flow); (j-home)&mask >= (j-i)&mask {
			x.cells[i], x.cells[j] = s, 0
			i = j
		}
	}
}
