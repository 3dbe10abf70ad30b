package doctor

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leaveFilters attaches programs to loopback under the names that an engine of
// that id uses, and leaves them there.
func leaveFilters(t *testing.T, id string) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	const lo = 1
	attrs := netlink.QdiscAttrs{LinkIndex: lo, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
	if err := netlink.QdiscReplace(&netlink.Clsact{QdiscAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	for name, parent := range map[string]uint32{"in": netlink.HANDLE_MIN_INGRESS, "out": netlink.HANDLE_MIN_EGRESS} {
		err := netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: lo, Parent: parent, Protocol: unix.ETH_P_ALL, Priority: 6},
			Fd:           prog.FD(),
			Name:         "ftnet:" + id + ":" + name,
			DirectAction: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
