package kernel

import (
	"fmt"
	"reflect"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Stats sums the counters of all CPUs.
func (g *Gate) Stats() (gate.Stats, error) {
	var s gate.Stats
	var perCPU []uint64
	all := reflect.ValueOf(&s).Elem()
	for i := range all.NumField() {
		if err := g.objs.Stats.Lookup(uint32(i), &perCPU); err != nil {
			return gate.Stats{}, fmt.Errorf("gate: counters: %w", err)
		}
		var sum uint64
		for _, n := range perCPU {
			sum += n
		}
		all.Field(i).SetUint(sum)
	}
	return s, nil
}
