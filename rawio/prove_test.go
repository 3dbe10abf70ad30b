package rawio

import (
	"testing"
	"time"
)

// TestProofLate: a packet that has not come counts against the gate when it is due, but
// not if the report of it may have been lost.
func TestProofLate(t *testing.T) {
	now := time.Unix(1, 0)
	for _, test := range []struct {
		name  string
		proof proof
		late  bool
		tries int
	}{
		{"none was sent", proof{due: now}, false, 0},
		{"under way", proof{number: 1, due: now.Add(1)}, false, 0},
		{"came", proof{number: 1, done: true, due: now}, false, 0},
		{"did not come", proof{number: 1, due: now, lost: 7}, true, 1},
		{"reports were lost before", proof{number: 1, due: now, lost: 7, tries: 2}, true, 3},
		{"reports were lost since", proof{number: 1, due: now, lost: 6, tries: 2}, true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if late := test.proof.late(now, 7); late != test.late || test.proof.tries != test.tries {
				t.Errorf("late %v, %d in vain; want %v, %d", late, test.proof.tries, test.late, test.tries)
			}
		})
	}
}
