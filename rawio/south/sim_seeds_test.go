package south_test

import "testing"

// mended are seeds that once failed, and what was wrong. What a seed means changes with
// the plans: the scripts in testdata say the same of the core alone.
var mended = []struct {
	name string
	plan func(uint64) plan
	seed uint64
	why  string
}{
	{"plain", randomPlan, 64653, "a client that had closed and forgotten the connection was taken for one that resets it"},
	{"alone", randomAlonePlan, 10467, "the kernel had forgotten a half-open connection and begun it with another number"},
	{"alone", randomAlonePlan, 14946, "the same"},
	{"alone", randomAlonePlan, 22824, "a restored connection's server sent more than its client's window, which was not known"},
	{"alone", randomAlonePlan, 33782, "the network lost the SYNs that came after the time without an engine"},
	{"alone", randomAlonePlan, 52442, "an engine got the answer of the log to the one before"},
	{"alone", randomAlonePlan, 55719, "the network lost the SYNs that came after the time without an engine"},
}

// TestMended runs them again.
func TestMended(t *testing.T) {
	for _, s := range mended {
		if w := run(s.plan(s.seed)); w.failure != "" {
			t.Errorf("%s, seed %d (%s): %s", s.name, s.seed, s.why, w.failure)
		}
	}
}
