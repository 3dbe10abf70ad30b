package remote

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestBuffer compares a buffer with a plain slice, and looks for what was not
// wiped.
func TestBuffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b buffer
		var s spare
		var all []byte // from 0 on; the buffer has what lies beyond low
		low := 0
		give := func(k *chunk) {
			if !s.put(k) {
				k.free()
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p := bytes.Repeat([]byte{byte(len(all) + 1)}, rapid.SampledFrom([]int{1, 100, 3000, 70_000, 300_000}).Draw(t, "n"))
			b.add(&s, int64(len(all)), p)
			all = append(all, p...)
			from := rapid.IntRange(low, len(all)).Draw(t, "from")
			to := rapid.IntRange(from, len(all)).Draw(t, "to")
			var got []byte
			b.pieces(int64(from), int64(to), func(p []byte) { got = append(got, p...) })
			if !bytes.Equal(got, all[from:to]) {
				t.Fatalf("%d..%d: %d bytes, or others", from, to, len(got))
			}
			if rapid.Bool().Draw(t, "drop") {
				low = from
				b.drop(int64(low), give)
			}
		}
		b.drop(int64(len(all)), give)
		spares := append(spare(nil), s...)
		s.wipe()
		for _, k := range spares {
			if mem := k.data[:cap(k.data)]; len(bytes.Trim(mem, "\x00")) > 0 {
				t.Fatal("a chunk was not wiped")
			}
		}
		if len(b.chunks) > 0 || len(s) > 0 {
			t.Fatal("chunks are left")
		}
	})
}
