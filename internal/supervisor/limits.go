package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unlimited is the value of a limit that does not limit.
const Unlimited = ^uint64(0)

// Limit is one resource limit (setrlimit(2)). Soft must not be above Hard. The
// units are those of the kernel: bytes, seconds of processor time, or a number
// of files, processes, signals or locks.
//
// The limits are set after the program was loaded and before its first
// instruction, so that the engine's own limits need not change for a moment.
// What the kernel looks at while it loads a program (the stack's limit, for the
// layout of the address space) is still the engine's. To raise a hard limit the
// engine needs CAP_SYS_RESOURCE. A set-user-ID command with limits gets its
// privileges only if the engine has CAP_SYS_PTRACE.
type Limit struct {
	Resource   string // one of LimitNames
	Soft, Hard uint64
}

// resources are called as in limits.conf(5) and prlimit(1).
var resources = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// LimitNames returns the resources that can be limited, in order.
func LimitNames() []string { return slices.Sorted(maps.Keys(resources)) }

func (l Limit) validate() error {
	if _, ok := resources[l.Resource]; !ok {
		return fmt.Errorf("unknown limit %q: want one of %s", l.Resource, strings.Join(LimitNames(), ", "))
	}
	if l.Soft > l.Hard {
		return fmt.Errorf("limit %s: soft %d is above hard %d", l.Resource, l.Soft, l.Hard)
	}
	return nil
}

// setLimits limits a process that must not run meanwhile. cred is whom it runs
// as; nil: as this process.
func setLimits(pid int, limits []Limit, cred *syscall.Credential) error {
	for _, l := range limits {
		set := func() error {
			return unix.Prlimit(pid, resources[l.Resource], &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil)
		}
		err := set()
		if errors.Is(err, unix.EPERM) && cred != nil {
			err = as(cred, set)
		}
		if err != nil {
			return fmt.Errorf("limit %s: %w", l.Resource, err)
		}
	}
	return nil
}

// as calls f with the real user and group of cred in the calling thread, which
// must be locked; the effective ones stay. That is what the kernel compares
// where CAP_SYS_RESOURCE is missing. (The calls of package syscall would change
// all threads.)
func as(cred *syscall.Credential, f func() error) (err error) {
	const keep = ^uintptr(0)
	set := func(call uintptr, id int) {
		if _, _, errno := unix.RawSyscall(call, uintptr(id), keep, keep); errno != 0 {
			err = errors.Join(err, errno)
		}
	}
	uid, gid := os.Getuid(), os.Getgid()
	set(unix.SYS_SETRESGID, int(cred.Gid))
	set(unix.SYS_SETRESUID, int(cred.Uid))
	if err == nil {
		err = f()
	}
	set(unix.SYS_SETRESUID, uid)
	set(unix.SYS_SETRESGID, gid)
	return err
}
