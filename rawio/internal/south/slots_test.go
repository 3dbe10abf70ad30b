package south

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSlotQueue compares the queue with a plain slice.
func TestSlotQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q slotQueue
		var want []uint32
		for range rapid.IntRange(0, 500).Draw(t, "steps") {
			if len(want) > 0 && rapid.Bool().Draw(t, "take") {
				if got := q.take(); got != want[0] {
					t.Fatalf("took %d, want %d", got, want[0])
				}
				want = want[1:]
				continue
			}
			slot := rapid.Uint32().Draw(t, "slot")
			q.give(slot)
			want = append(want, slot)
		}
		if q.len() != len(want) {
			t.Fatalf("%d slots, want %d", q.len(), len(want))
		}
	})
}
