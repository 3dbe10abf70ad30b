package control

import "os"

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
