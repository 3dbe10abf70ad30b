package south

import (
	"testing"
	"unsafe"
)

// TestConnSize bounds what each connection takes, idle or not. The allocator gives out 288
// bytes, and 320 for one more.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 288 {
		t.Errorf("a Conn takes %d bytes, not 288: can what few connections need at a time be in extra?", size)
	}
}
