package south

// quarantinedSlots is how many free slots are kept back from reuse as long as there are slots that
// were never used: a packet of the old connection that is being judged on another CPU may still write
// to the gate's half of its slot.
const quarantinedSlots = 256

// slotQueue holds the free slots, in the order in which they were freed.
type slotQueue struct {
	list []uint32
	head int
}

func (q *slotQueue) len() int { return len(q.list) - q.head }

func (q *slotQueue) give(slot uint32) { q.list = append(q.list, slot) }

// take returns the slot that was freed first. The queue must not be empty.
func (q *slotQueue) take() uint32 {
	slot := q.list[q.head]
	if q.head++; q.head > len(q.list)/2 {
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	return slot
}
