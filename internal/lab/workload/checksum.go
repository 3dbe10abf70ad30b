package workload

import (
	"fmt"
	"hash"
	"hash/crc32"
)

// Checksum is a CRC-32 and a CRC-32C: 64 bits that tell whether bytes were lost, repeated,
// changed or exchanged, and which cost little beside a cryptographic hash.
type Checksum struct{ ieee, castagnoli hash.Hash32 }

// NewChecksum returns the checksum of nothing yet.
func NewChecksum() *Checksum {
	return &Checksum{crc32.NewIEEE(), crc32.New(crc32.MakeTable(crc32.Castagnoli))}
}

// Write never fails.
func (c *Checksum) Write(p []byte) (int, error) {
	c.ieee.Write(p)
	return c.castagnoli.Write(p)
}

func (c *Checksum) String() string {
	return fmt.Sprintf("%08x%08x", c.ieee.Sum32(), c.castagnoli.Sum32())
}
