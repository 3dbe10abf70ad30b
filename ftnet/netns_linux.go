package ftnet

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// netnsCookie returns that of the socket's network namespace, 0 where the kernel has
// none.
func netnsCookie(c syscall.RawConn) (cookie uint64) {
	c.Control(func(fd uintptr) {
		cookie, _ = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return cookie
}
