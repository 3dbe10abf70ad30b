package supervisor

import "os"

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
