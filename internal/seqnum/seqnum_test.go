package seqnum

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestCompare(t *testing.T) {
	const top = math.MaxUint32
	tests := []struct {
		a, b uint32
		less bool
		diff int32
	}{
		{1, 2, true, -1},
		{2, 1, false, 1},
		{5, 5, false, 0},
		{top, 0, true, -1},
		{0, top, false, 1},
		{top - 9, 10, true, -20},
		{0, 1<<31 - 1, true, -(1<<31 - 1)},
		{1<<31 - 1, 0, false, 1<<31 - 1},
	}
	for _, tt := range tests {
		if got := Less(tt.a, tt.b); got != tt.less {
			t.Errorf("Less(%d, %d) = %v", tt.a, tt.b, got)
		}
		if got, want := LEQ(tt.a, tt.b), tt.less || tt.a == tt.b; got != want {
			t.Errorf("LEQ(%d, %d) = %v", tt.a, tt.b, got)
		}
		if got := Diff(tt.a, tt.b); got != tt.diff {
			t.Errorf("Diff(%d, %d) = %d, want %d", tt.a, tt.b, got, tt.diff)
		}
	}
}

// near draws a number and another one less than 2³¹ away, with the distance:
// the domain within which serial comparison has a meaning (RFC 1982).
func near(t *rapid.T) (a, b uint32, d int64) {
	a = rapid.Uint32().Draw(t, "a")
	d = rapid.Int64Range(-(1<<31-1), 1<<31-1).Draw(t, "distance")
	return a, a + uint32(d), d
}

func TestOrderFollowsDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, d := near(t)
		if got := Diff(b, a); int64(got) != d {
			t.Fatalf("Diff(%d, %d) = %d, want %d", b, a, got, d)
		}
		if Less(a, b) != (d > 0) || Less(b, a) != (d < 0) || LEQ(a, b) != (d >= 0) {
			t.Fatalf("order of %d and %d, which lie %d apart", a, b, d)
		}
	})
}

func TestMinMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, d := near(t)
		low, high := a, b
		if d < 0 {
			low, high = b, a
		}
		if Min(a, b) != low || Min(b, a) != low {
			t.Fatalf("Min(%d, %d)", a, b)
		}
		if Max(a, b) != high || Max(b, a) != high {
			t.Fatalf("Max(%d, %d)", a, b)
		}
	})
}

// TestOrderIsTransitive holds within a window of less than 2³¹.
func TestOrderIsTransitive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Uint32().Draw(t, "a")
		x := rapid.Uint32Range(1, 1<<30).Draw(t, "x")
		y := rapid.Uint32Range(1, 1<<30-1).Draw(t, "y")
		if b, c := a+x, a+x+y; !Less(a, b) || !Less(b, c) || !Less(a, c) {
			t.Fatalf("%d, %d, %d", a, b, c)
		}
	})
}

func TestUnwrap(t *testing.T) {
	tests := []struct {
		name      string
		seq, base uint32
		near      int64
		want      int64
	}{
		{"at the start", 100, 100, 0, 0},
		{"base next to the top", 3, math.MaxUint32, 0, 4},
		{"before the start", 99, 100, 0, -1},
		{"in the second round", 105, 100, 1 << 32, 1<<32 + 5},
		{"just before the second round", 95, 100, 1 << 32, 1<<32 - 5},
		{"far on", 100, 0, 7<<32 + 90, 7<<32 + 100},
	}
	for _, tt := range tests {
		if got := Unwrap(tt.seq, tt.base, tt.near); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestUnwrapInverts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Uint32().Draw(t, "base")
		off := rapid.Int64Range(0, 1<<40).Draw(t, "offset")
		away := rapid.Int64Range(-(1<<31-1), 1<<31-1).Draw(t, "away")
		if got := Unwrap(base+uint32(off), base, off+away); got != off {
			t.Fatalf("Unwrap = %d, want %d", got, off)
		}
	})
}
