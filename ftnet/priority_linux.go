package ftnet

import (
	"net"

	"golang.org/x/sys/unix"
)

// setPriority marks what the socket sends from here on. It fails only on a
// socket that is closed already.
func setPriority(c *net.TCPConn, priority int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, priority)
	})
}
