package wire

import "golang.org/x/sys/unix"

// arrived returns how many bytes a socket has to be read (tcp(7), SIOCINQ).
func arrived(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
