package caps

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAdvice: it names what is missing, and nothing that is there.
func TestAdvice(t *testing.T) {
	needed := []Cap{BPF, Perfmon, NetAdmin}
	for _, tt := range []struct {
		effective     uint64
		says, saysNot string
	}{
		{0, "give CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN ", "forbids"},
		{1 << unix.CAP_NET_ADMIN, "give CAP_BPF and CAP_PERFMON ", "NET_ADMIN"},
		{1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF, "give CAP_PERFMON ", "CAP_BPF"},
		{1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN, "forbids", "CAP_"},
		{1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON, "forbids", "CAP_"},
	} {
		if got := advice(MissingFrom(tt.effective, needed...)); !strings.Contains(got, tt.says) || strings.Contains(got, tt.saysNot) {
			t.Errorf("with %x: %q", tt.effective, got)
		}
	}
}
