package daemon

import (
	"os"

	"golang.org/x/sys/unix"
)

// leaveTerminal gives the controlling terminal up, so that the services, which
// are started without one, get process groups of their own: a Ctrl-C, which
// reaches this process's group all the same, means the daemon and not, at the
// same moment, each service. A session leader keeps its terminal: the kernel
// would hang the whole session up.
func leaveTerminal() {
	if sid, err := unix.Getsid(0); err != nil || sid == os.Getpid() {
		return
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return // there is none
	}
	defer tty.Close()
	_ = unix.IoctlSetInt(int(tty.Fd()), unix.TIOCNOTTY, 0) // then it is as before
}
