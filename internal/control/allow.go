package control

import (
	"errors"
	"os"
	"syscall"
)

// allowSelf admits root and the user that the engine runs as.
func allowSelf(c Credentials) bool { return c.UID == 0 || int(c.UID) == os.Geteuid() }

// AllowUID admits root and the given users: those that the service runs as.
func AllowUID(uids ...uint32) func(Credentials) bool {
	return func(c Credentials) bool {
		for _, uid := range uids {
			if c.UID == uid {
				return true
			}
		}
		return c.UID == 0
	}
}

// isTemporary is for accept errors that pass: no descriptors or memory left,
// or a peer that was gone before it was accepted.
func isTemporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
