package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// TestDemo is the demo itself, on both stages.
func TestDemo(t *testing.T) {
	testenv.RequireRoot(t)
	for _, stage := range []string{"network", "loopback"} {
		t.Run(stage, func(t *testing.T) {
			base := t.TempDir()
			args := []string{"demo", "--length", "3s", "--kills", "3", "--runtime-dir", base}
			if stage == "loopback" {
				args = append(args, "--loopback")
			}
			out, code := command(t, args...)
			if code != 0 || !strings.Contains(out, "crashes survived           3 of 3") {
				t.Errorf("exit %d:\n%s", code, out)
			}
			left, err := os.ReadDir(base)
			for _, f := range left {
				if f.IsDir() {
					t.Errorf("left behind: %s (%v)", f.Name(), err)
				}
			}
		})
	}
}
