package south

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
)

// embryo is what is known of a connection before its SYN-ACK has met its SYN.
// The SYN comes from the tap and the SYN-ACK from the gate, in either order.
type embryo struct {
	syn     *segment.Segment
	synack  *segment.Segment
	packet  []byte // of the SYN-ACK, as the kernel made it
	cookie  bool   // it was a SYN cookie
	arrived int64
	after   int64         // SYN-ACKs from before this time are of a socket that is gone
	refused int64         // time when the kernel refused it, 0: not
	why     reason.Reason // of a connection that goes on without protection if its client answers; then the rest is nil
	detail  string        // of why
	passed  *passed       // of a connection that goes on without protection; nil: it does not
	waits   bool          // for the listener's queue to have room
	again   int64         // when the listener gets it again
	order   uint64
	in, out uint32 // interfaces of SYN and SYN-ACK
}

// passed names the SYN-ACK that has left of a connection without protection: what the
// kernel repeats of that leaves as well. The client may know it.
type passed struct{ iss, ack uint32 }

// pass lets a SYN-ACK go whose connection will not be protected.
func (m *Machine) pass(flow segment.Flow, packet []byte, iss, ack uint32) {
	m.syns.make(flow).passed = &passed{iss, ack}
	m.net.Forward(packet)
}

// synTable remembers a bounded number of embryos: two generations, of which
// the older is forgotten when the younger is full. A flood of SYNs can only
// push others out, whose clients then send their SYN again.
type synTable struct {
	limit      int
	order      uint64
	cur, older map[segment.Flow]*embryo
}

func newSynTable(limit int) synTable {
	return synTable{limit: max(limit/2, 1), cur: map[segment.Flow]*embryo{}}
}

func (t *synTable) get(f segment.Flow) *embryo {
	if e := t.cur[f]; e != nil {
		return e
	}
	return t.older[f]
}

// make returns the flow's embryo, a new one if there is none.
func (t *synTable) make(f segment.Flow) *embryo {
	if e := t.get(f); e != nil {
		return e
	}
	if len(t.cur) >= t.limit {
		t.older, t.cur = t.cur, make(map[segment.Flow]*embryo)
	}
	t.order++
	e := &embryo{order: t.order}
	t.cur[f] = e
	return e
}

func (t *synTable) drop(f segment.Flow) {
	delete(t.cur, f)
	delete(t.older, f)
}

// each calls f for every embryo of a port, in the order of their arrival; f
// may drop it.
func (t *synTable) each(port uint16, f func(segment.Flow, *embryo)) {
	type item struct {
		flow segment.Flow
		e    *embryo
	}
	var items []item
	for _, m := range [2]map[segment.Flow]*embryo{t.older, t.cur} {
		for flow, e := range m {
			if flow.Server.Port() == port {
				items = append(items, item{flow, e})
			}
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.e.order, b.e.order) })
	for _, it := range items {
		f(it.flow, it.e)
	}
}
