package supervisor

import (
	"os"
	"syscall"
)

// UID returns the numeric user that a child with Config.User runs as.
func UID(user string) (int, error) {
	a, err := lookupAccount(user)
	if err != nil {
		return 0, err
	}
	if a.cred == nil {
		return os.Getuid(), nil
	}
	return int(a.cred.Uid), nil
}

// Account returns the credentials of a child with Config.User and Config.Groups, nil for
// this process's own, and the variables that name the user in the child's environment.
func Account(user string, groups []string) (cred *syscall.Credential, env []string, err error) {
	a, err := lookup(user, groups)
	return a.cred, a.env, err
}
