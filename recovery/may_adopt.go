package recovery

import "golang.org/x/sys/unix"

// mayAdopt reports whether this process may open what an engine that is gone has
// left in the kernel, and so whether the next one may, which has the same
// privileges. See gate.Adopt.
func mayAdopt() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
