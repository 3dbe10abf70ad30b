package south

import (
	"cmp"
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
)

// synEntry is what is known of a connection until both its SYN and its SYN-ACK are known.
// The SYN comes from the tap and the SYN-ACK from the gate, in either order.
type synEntry struct {
	syn     *segment.Segment
	synack  *segment.Segment
	packet  []byte // of the SYN-ACK, as the kernel made it
	cookie  bool   // it was a SYN cookie
	arrived int64
	after   int64         // SYN-ACKs from before this time are of a socket that is gone
	refused int64         // time when the kernel refused the SYN; 0: it did not
	why     reason.Reason // see noteUnprotected; syn and synack are nil then
	detail  string        // of why
	passed  *passedSYNACK // SYN-ACK that has left although the connection is not protected; nil: none
	queued  bool          // the SYN waits for room in the listener's queue
	again   int64         // when the listener gets the SYN again
	order   uint64
	in, out uint32 // interfaces of SYN and SYN-ACK
}

// passedSYNACK identifies a SYN-ACK of an unprotected connection that has left. The client may have
// got it, so the kernel's retransmissions of it leave as well.
type passedSYNACK struct{ iss, ack uint32 }

// passUnprotected forwards the SYN-ACK of a connection that will not be protected.
func (m *Machine) passUnprotected(flow segment.Flow, packet []byte, iss, ack uint32) {
	m.syns.make(flow).passed = &passedSYNACK{iss, ack}
	m.net.Forward(packet)
}

// synTable holds a bounded number of entries, in two generations: the older one is dropped when
// the younger one is full. A flood of SYNs can only displace other entries, whose clients then
// retransmit their SYNs.
type synTable struct {
	limit      int
	order      uint64
	cur, older map[segment.Flow]*synEntry
}

func newSynTable(limit int) synTable {
	return synTable{limit: max(limit/2, 1), cur: map[segment.Flow]*synEntry{}}
}

func (t *synTable) get(f segment.Flow) *synEntry {
	if e := t.cur[f]; e != nil {
		return e
	}
	return t.older[f]
}

// make returns the flow's entry, a new one if there is none.
func (t *synTable) make(f segment.Flow) *synEntry {
	if e := t.get(f); e != nil {
		return e
	}
	if len(t.cur) >= t.limit {
		t.older, t.cur = t.cur, make(map[segment.Flow]*synEntry)
	}
	t.order++
	e := &synEntry{order: t.order}
	t.cur[f] = e
	return e
}

func (t *synTable) drop(f segment.Flow) {
	delete(t.cur, f)
	delete(t.older, f)
}

// each calls f for every entry of a port, in the order in which they were made; f
// may drop it.
func (t *synTable) each(port uint16, f func(segment.Flow, *synEntry)) {
	type item struct {
		flow segment.Flow
		e    *synEntry
	}
	var items []item
	for _, m := range [2]map[segment.Flow]*synEntry{t.older, t.cur} {
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
