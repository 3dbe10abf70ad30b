package journal

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

// TestCircle: a process whose links lead in a circle has the engine follow it a few times, not
// as often as there are pages.
func TestCircle(t *testing.T) {
	for _, length := range []uint32{1, 2, 3, 100} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			const pages = 1 << 16
			j, m := heap(t, 8, pages)
			for slot := range uint32(4) {
				rec := accept(t, j, m, slot, policy.CompareStrict)
				for i := range length { // it writes them again each time
					m.r.page(i + 1).next = (i+1)%length + 1
				}
				rec.h.readPage, rec.h.crcPage, rec.h.blockPage = 1, 1, 1
				rec.Release()
				j.Withdraw(slot)
			}
			if n := atomic.LoadUint64(&j.r.super().free) >> 32; n > uint64(4*3*3*length) {
				t.Errorf("%d pages were given back", n)
			}
		})
	}
}
