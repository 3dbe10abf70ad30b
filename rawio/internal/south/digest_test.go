package south

import (
	"bytes"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// TestDigest records output as it may come: cut anywhere, again and out of
// order, while the client acknowledges some of it. A server that says the same
// is found to do so, in whatever pieces; of one that does not, the first mark
// after the difference tells.
func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom([]int64{0, 1, 1 << 40}).Draw(t, "base")
		out := make([]byte, rapid.IntRange(0, 3000).Draw(t, "length"))
		for i := range out {
			out[i] = byte(i*7 + i>>8)
		}
		d := newDigest(base, rapid.SampledFrom([]int{50, 536, 1 << 20}).Draw(t, "grain"))
		if rapid.Bool().Draw(t, "small steps") {
			d.step = int64(rapid.IntRange(1, 100).Draw(t, "step"))
		}
		una, high := 0, 0
		for end := 0; end < len(out); end = int(d.end - base) {
			// A stack sends at most a window beyond what is acknowledged, and what
			// was acknowledged was captured.
			from := rapid.IntRange(una, min(len(out), end+500)).Draw(t, "from")
			to := rapid.IntRange(from, min(len(out), from+700)).Draw(t, "to")
			if rapid.IntRange(0, 3).Draw(t, "in order") > 0 {
				from = end
				to = max(to, min(end+1, len(out)))
			}
			d.add(base+int64(from), out[from:to])
			high = max(high, to)
			if rapid.Bool().Draw(t, "acknowledges") {
				una = rapid.IntRange(una, int(d.end-base)).Draw(t, "una")
				d.acknowledged(base + int64(una))
			}
			checkDigest(t, d, out, base)
		}
		if d.ahead != nil && high == len(out) {
			t.Fatalf("%d bytes are kept beyond the end", d.ahead.bytes)
		}

		other := bytes.Clone(out)
		differs := -1
		if len(out) > 0 && rapid.Bool().Draw(t, "differs") {
			differs = rapid.IntRange(0, len(out)-1).Draw(t, "at")
			other[differs] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		}
		k := check{verified: base}
		for off := 0; off < len(other); {
			n := rapid.IntRange(1, len(other)-off).Draw(t, "piece")
			before := k.verified
			bad, ok := k.add(d, base+int64(off), other[off:off+n])
			switch at := base + int64(differs); {
			case !ok && differs < 0:
				t.Fatalf("a difference at %d where there is none", bad)
			case !ok && (bad <= at || before > at):
				t.Fatalf("%d:%d is found to differ, %d does", before, bad, at)
			case !ok:
				if m, _ := d.next(at); m.off != bad {
					t.Fatalf("the difference at %d is found at %d, the next mark is at %d", at, bad, m.off)
				}
				return
			case differs >= 0 && k.verified > at:
				t.Fatalf("%d is verified, %d differs", k.verified, at)
			}
			off += n
		}
		if differs >= 0 {
			t.Fatalf("the difference at %d is not found", differs)
		}
		if k.verified != base+int64(len(out)) {
			t.Fatalf("verified to %d of %d", k.verified-base, len(out))
		}
	})
}

// checkDigest checks a digest against the output itself.
func checkDigest(t *rapid.T, d *digest, out []byte, base int64) {
	last := base
	for _, list := range [2][]mark{d.coarse, d.marks} {
		for _, k := range list {
			if k.off <= last {
				t.Fatalf("mark %d after %d", k.off, last)
			}
			if want := crc32.Checksum(out[:k.off-base], castagnoli); k.sum != want {
				t.Fatalf("sum at %d is %08x, want %08x", k.off, k.sum, want)
			}
			last = k.off
		}
	}
	if last != d.end {
		t.Fatalf("the last mark is %d of %d", last, d.end)
	}
	if len(d.coarse) > maxCoarse {
		t.Fatalf("%d marks of what is acknowledged", len(d.coarse))
	}
	if want := crc32.Checksum(out[:d.end-base], castagnoli); d.sum != want {
		t.Fatalf("sum is %08x, want %08x", d.sum, want)
	}
}

// TestDigestStaysSmall sends a lot: what is kept does not grow with it.
func TestDigestStaysSmall(t *testing.T) {
	d := newDigest(0, 1400)
	p := make([]byte, 1400)
	for range 300_000 { // 400 MB
		d.add(d.end, p)
		d.acknowledged(d.end - 20*int64(len(p)))
		if len(d.marks) > 22 || len(d.coarse) > maxCoarse || cap(d.marks) > 1000 {
			t.Fatalf("at %d: %d marks of %d, %d of what is acknowledged", d.end, len(d.marks), cap(d.marks), len(d.coarse))
		}
	}
	if n := len(d.coarse); n < maxCoarse/2 {
		t.Errorf("%d marks of what is acknowledged, at least %d are expected", n, maxCoarse/2)
	}
	for off := d.end + 1; off < d.end+2*maxUnknown; off += int64(len(p)) {
		d.add(off, p) // beyond a gap
	}
	if d.ahead.bytes > maxUnknown {
		t.Errorf("%d bytes beyond a gap", d.ahead.bytes)
	}
}
