package ftnet

import (
	"net"

	"golang.org/x/sys/unix"
)

// refuseFastOpen has the kernel take no data from a SYN. The gate strips the
// option, but where net.ipv4.tcp_fastopen says so (0x200, 0x400) the kernel asks
// neither for it nor for the application's leave: it would acknowledge, with
// its SYN-ACK, data that is not in the log. It fails only where there is no
// Fast Open to be refused.
func refuseFastOpen(ln *net.TCPListener) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 0)
	})
}
