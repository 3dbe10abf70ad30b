package rawio

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// bareLinks has a gate that is on no interface, and told is what changed was told.
func bareLinks(told *[]map[int]string) *links {
	l := &links{all: map[int]*guarded{}, reported: map[int]string{}, wakeup: make(chan struct{}, 1)}
	l.gate, l.log = new(kernel.Gate), hclog.NewNullLogger()
	l.changed = func(news map[int]string) { *told = append(*told, news) }
	return l
}

// TestForgetTakesBack: what the core was told of an interface is taken back when the interface
// goes, and when one comes with its index it is told anew.
func TestForgetTakesBack(t *testing.T) {
	var told []map[int]string
	l := bareLinks(&told)
	l.setPorts([]uint16{80})
	l.prover.flow, l.prover.via = gate.ProofFlow(80), packetSocket(-1) // nothing is proved
	step := func(want ...map[int]string) {
		t.Helper()
		told = nil
		l.round(time.Unix(1, 0), 0)
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
	l.all[7], l.all[8] = &guarded{index: 7, why: "taken off"}, &guarded{index: 8}
	step(map[int]string{7: "taken off"})
	step()
	l.forget(7)
	l.forget(8)
	step(map[int]string{7: ""})
	step()
	l.all[7] = &guarded{index: 7, why: whyNew}
	step(map[int]string{7: whyNew})
	l.forget(7) // and it comes again before the next round
	l.all[7] = &guarded{index: 7}
	step(map[int]string{7: ""})
}

// TestNothingProved: as long as the gate takes no proof, an interface that packets may pass
// the gate on is not taken for guarded, and one that is guarded stays so; without a port
// there is nothing to prove.
func TestNothingProved(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports []uint16
		g     guarded
		want  string
	}{
		{"no port", nil, guarded{why: "taken off"}, ""},
		{"no port, and not mended", nil, guarded{why: "taken off", mended: mends{err: errors.New("refused")}}, "taken off"},
		{"no proof", []uint16{80}, guarded{why: "taken off"}, "taken off"},
		{"no proof, new", []uint16{80}, guarded{why: whyNew}, whyNew},
		{"no proof, guarded", []uint16{80}, guarded{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := bareLinks(new([]map[int]string))
			l.prover.ports = test.ports
			l.prove(&test.g, time.Unix(1, 0))
			if test.g.why != test.want {
				t.Errorf("why is %q, want %q", test.g.why, test.want)
			}
		})
	}
}
