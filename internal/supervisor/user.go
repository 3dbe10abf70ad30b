package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// account is whom the child runs as, and what its environment says about it.
type account struct {
	cred *syscall.Credential // nil: as this process
	env  []string
}

// lookup resolves a user and supplementary groups. Without groups an explicit
// group of the user is the only one; otherwise the account's count too.
func lookup(spec string, groups []string) (account, error) {
	a, err := lookupAccount(spec)
	if err != nil || groups == nil {
		return a, err
	}
	if a.cred == nil {
		a.cred = &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	}
	a.cred.Groups = make([]uint32, len(groups))
	for i, name := range groups {
		if a.cred.Groups[i], err = lookupGroup(name); err != nil {
			return account{}, err
		}
	}
	return a, nil
}

// lookupAccount resolves "name", "uid", "name:group" and "uid:gid".
func lookupAccount(spec string) (account, error) {
	if spec == "" {
		return account{}, nil
	}
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" || hasGroup && group == "" {
		return account{}, fmt.Errorf("user %q: want name, uid, name:group or uid:gid", spec)
	}
	u, err := lookupUser(name)
	uid, numeric := parseID(name)
	switch {
	case err == nil:
		if uid, numeric = parseID(u.Uid); !numeric {
			return account{}, fmt.Errorf("user %q: its uid %q is not a number", spec, u.Uid)
		}
	case !numeric:
		return account{}, fmt.Errorf("user %q: %w", name, err)
	case !hasGroup:
		return account{}, fmt.Errorf("user %q: no such account, so its group is unknown: give %s:GID", name, name)
	}
	a := account{cred: &syscall.Credential{Uid: uid}}
	if u != nil {
		a.env = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
	}
	if hasGroup {
		a.cred.Gid, err = lookupGroup(group)
		return a, err
	}
	gid, ok := parseID(u.Gid)
	if !ok {
		return account{}, fmt.Errorf("user %q: its gid %q is not a number", spec, u.Gid)
	}
	a.cred.Gid = gid
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, s := range ids {
		if id, ok := parseID(s); ok {
			a.cred.Groups = append(a.cred.Groups, id)
		}
	}
	return a, nil
}

// lookupUser prefers a name, as chown does: an account may be called "1000".
func lookupUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if _, numeric := parseID(name); err != nil && numeric {
		return user.LookupId(name)
	}
	return u, err
}

func lookupGroup(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		if id, ok := parseID(g.Gid); ok {
			return id, nil
		}
	}
	if id, ok := parseID(name); ok {
		return id, nil
	}
	if err == nil {
		err = errors.New("its gid is not a number")
	}
	return 0, fmt.Errorf("group %q: %w", name, err)
}

func parseID(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err == nil
}
