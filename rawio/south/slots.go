package south

// restingSlots is how many slots rest before one of them is used again: a
// packet of the old connection that another CPU is judging may still write to
// the gate's half of its slot.
const restingSlots = 256

// slotQueue holds the slots that were given back, the longest rested first.
type slotQueue struct {
	list []uint32
	head int
}

func (q *slotQueue) len() int { return len(q.list) - q.head }

func (q *slotQueue) give(slot uint32) { q.list = append(q.list, slot) }

// take returns the slot that has rested longest. The queue must not be empty.
func (q *slotQueue) take() uint32 {
	slot := q.list[q.head]
	if q.head++; q.head > len(q.list)/2 {
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	return slot
}
