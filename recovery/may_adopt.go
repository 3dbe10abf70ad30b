package recovery

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate/kernel"
)

// mayAdopt returns nil if this process may take over what an engine that is gone has
// left in the kernel, and so if the next one may, which has the same privileges; else
// why not. See kernel.Adopt.
func mayAdopt(bpffs string) error {
	err := kernel.MayPin(bpffs)
	if err == nil || hasSysAdmin() {
		return nil
	}
	return fmt.Errorf("%w, and CAP_SYS_ADMIN is missing", err)
}

func hasSysAdmin() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
