package e2e

import (
	"os"
	"testing"
)

func probe(t testing.TB, o options, args ...string) *rig {
	return start(t, o, "probe", append([]string{"-listen", ":7002"}, args...)...)
}

// crash kills the server and waits until it has recovered.
func (r *rig) crash() {
	r.t.Helper()
	r.kill()
	r.recovered()
}

func closeGate(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func openGate(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
