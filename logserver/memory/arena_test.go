package memory

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestClassShift(t *testing.T) {
	for n, want := range map[int64]uint8{-1: 8, 0: 8, 1: 8, 256: 8, 257: 9, 512: 9, 65536: 16, 65537: 17, 1 << 20: 20, 1<<20 + 1: 20, 1 << 40: 20} {
		if got := classShift(n); got != want {
			t.Errorf("classShift(%d) = %d, want %d", n, got, want)
		}
	}
}

// TestArena hands out and takes back chunks at random: each is zeroed, and no
// two overlap.
func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		defer func() {
			if err := a.close(); err != nil {
				t.Error(err)
			}
		}()
		var held []chunk
		var marks []byte
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				mem := held[i].bytes()
				if mem[0] != marks[i] || mem[len(mem)-1] != marks[i] {
					t.Fatal("two chunks overlap")
				}
				clear(mem)
				a.release(held[i])
				held[i], marks[i] = held[len(held)-1], marks[len(held)-1]
				held, marks = held[:len(held)-1], marks[:len(held)-1]
				continue
			}
			c, err := a.alloc(uint8(rapid.IntRange(minShift, maxShift).Draw(t, "shift")))
			if err != nil {
				t.Fatal(err)
			}
			mem := c.bytes()
			if mem[0] != 0 || mem[len(mem)-1] != 0 {
				t.Fatal("chunk is not zeroed")
			}
			mark := byte(rand.IntN(255) + 1)
			mem[0], mem[len(mem)-1] = mark, mark
			held, marks = append(held, c), append(marks, mark)
		}
	})
}

// TestArenaReturnsMemory frees more slabs than are kept warm: the kernel gets
// the rest back, and any size can have them again.
func TestArenaReturnsMemory(t *testing.T) {
	var a arena
	defer a.close()
	var chunks []chunk
	for range 2 * (keepSlabs + 4) {
		c, err := a.alloc(maxShift)
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, c)
	}
	areas := len(a.areas)
	a.release(chunks...)
	if len(a.warm) != keepSlabs || len(a.cold) != 4 {
		t.Errorf("%d warm and %d cold slabs, want %d and 4", len(a.warm), len(a.cold), keepSlabs)
	}
	for range (keepSlabs + 4) * slabSize / 4096 {
		if _, err := a.alloc(12); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.warm)+len(a.cold) != 0 || len(a.areas) != areas {
		t.Errorf("%d warm, %d cold slabs, %d areas (were %d): memory was not reused", len(a.warm), len(a.cold), len(a.areas), areas)
	}
}
