package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Crash returns what is there when the power is back: of what was not synced
// some.
func (f *FS) Crash(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
	after := New(seed)
	after.Capacity, after.Direct = f.Capacity, f.Direct
	r := after.rand
	chance := []float64{0, 0.3, 0.9, 1}
	names, sectors := chance[r.IntN(4)], chance[r.IntN(4)]
	after.stable = maps.Clone(f.stable)
	for _, op := range f.pending {
		if r.Float64() < names {
			op.apply(after.stable)
		}
	}
	seen := map[*inode]*inode{}
	for _, path := range slices.Sorted(maps.Keys(after.stable)) {
		i := after.stable[path]
		if seen[i] == nil {
			seen[i] = i.crash(r, sectors)
		}
		after.stable[path] = seen[i]
	}
	after.names = maps.Clone(after.stable)
	return after
}

func (i *inode) crash(r *rand.Rand, chance float64) *inode {
	size := len(i.stable)
	if i.unsure && r.Float64() < max(chance, 0.5) {
		size = len(i.data)
	}
	data := make([]byte, size)
	copy(data, i.stable)
	for _, s := range i.sorted() {
		if from := s * sector; from < size && r.Float64() < chance {
			n := copy(data[from:], i.data[min(from, len(i.data)):min(from+sector, len(i.data))])
			clear(data[from+n : min(from+sector, size)])
		}
	}
	return &inode{data: data, stable: slices.Clone(data), dirty: map[int]bool{}}
}

// Kill returns what is there when the process has died, and the power has not:
// what was not synced may still be lost later.
func (f *FS) Kill(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
	after := New(seed)
	after.Capacity, after.Direct = f.Capacity, f.Direct
	after.names, after.stable, after.pending = maps.Clone(f.names), maps.Clone(f.stable), slices.Clone(f.pending)
	return after
}

// Flip inverts one bit of a file whose name ends in suffix, and tells which it
// was.
func (f *FS) Flip(r *rand.Rand, suffix string) (path string, off int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var paths []string
	for path, i := range f.names {
		if strings.HasSuffix(path, suffix) && len(i.data) > 0 {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return "", 0
	}
	slices.Sort(paths)
	path = paths[r.IntN(len(paths))]
	i := f.names[path]
	// Most of a file may be unused.
	used := len(i.data)
	for used > 1 && i.data[used-1] == 0 {
		used--
	}
	off = r.IntN(used)
	i.data[off] ^= 1 << r.IntN(8)
	if off < len(i.stable) {
		i.stable[off] = i.data[off]
	}
	return path, off
}
