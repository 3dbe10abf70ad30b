package workload

import "encoding/binary"

// Stream reads endless bytes that depend on the seed only. Streams of
// different seeds have nothing in common, nor has one with itself at another
// offset, so that every misplaced block shows.
type Stream struct {
	seed, word uint64
	rest       [8]byte // the last word's bytes
	left       int     // how many at the end of rest are not read yet
}

// NewStream returns the stream of this seed.
func NewStream(seed uint64) *Stream { return &Stream{seed: mix(seed)} }

// Read fills p. It never fails.
func (s *Stream) Read(p []byte) (int, error) {
	n := copy(p, s.rest[8-s.left:])
	s.left -= n
	for ; len(p)-n >= 8; n += 8 {
		binary.LittleEndian.PutUint64(p[n:], s.next())
	}
	if n < len(p) {
		binary.LittleEndian.PutUint64(s.rest[:], s.next())
		s.left = 8 - copy(p[n:], s.rest[:])
	}
	return len(p), nil
}

func (s *Stream) next() uint64 {
	s.word++
	return mix(s.seed + s.word*0x9e3779b97f4a7c15)
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
