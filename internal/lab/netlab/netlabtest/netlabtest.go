// Package netlabtest gives a test its own lab (see package netlab).
package netlabtest

import (
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// New opens a lab that is removed, with all processes in it, when the test and
// its subtests have ended, however they ended. It needs root (see testenv).
func New(t testing.TB, config *netlab.Config) *netlab.Lab {
	t.Helper()
	testenv.RequireRoot(t)
	lab, err := netlab.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Errorf("remove the lab: %v", err)
		}
	})
	return lab
}
