package gate

import "fmt"

// Stats sums the counters of all CPUs.
func (g *Gate) Stats() (Stats, error) {
	var c counters
	var perCPU []uint64
	for i := range c {
		if err := g.objs.Stats.Lookup(uint32(i), &perCPU); err != nil {
			return Stats{}, fmt.Errorf("gate: counters: %w", err)
		}
		for _, n := range perCPU {
			c[i] += n
		}
	}
	return c.stats(), nil
}
