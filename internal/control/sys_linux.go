package control

import (
	"net"

	"golang.org/x/sys/unix"
)

func rights(fd int) ([]byte, error) { return unix.UnixRights(fd), nil }

// parseRights returns the one descriptor in a control message, or -1. More
// than one are closed and refused.
func parseRights(oob []byte) (int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	var all []int
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	switch len(all) {
	case 0:
		return -1, nil
	case 1:
		unix.CloseOnExec(all[0])
		return all[0], nil
	}
	for _, fd := range all {
		unix.Close(fd)
	}
	return -1, errFrame
}

func closeFD(fd int) { unix.Close(fd) }

// CloseFD closes the descriptor of a Welcome.
func CloseFD(fd int) { closeFD(fd) }

// credentials asks the kernel who connected.
func credentials(c *net.UnixConn) (Credentials, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Credentials{}, err
	}
	var cred *unix.Ucred
	var serr error
	err = raw.Control(func(fd uintptr) {
		cred, serr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = serr
	}
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}
