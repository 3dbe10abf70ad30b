package e2e

import (
	"testing"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

// TestUnmodifiedBulk: the checksums of much data are right in either direction
// although the server is killed again and again on the way. Its output is
// compared byte by byte.
func TestUnmodifiedBulk(t *testing.T) {
	for name, f := range map[string]move{"upload": workload.Upload, "download": workload.Download} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, unmodifiedOptions(7001, "--quota", "300MiB"), "bulk", "-plain", "-listen", ":7001")
			transferSome(r, f, 256<<20, 5)
		})
	}
}
