package supervisor

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Values of si_code for SIGCHLD (sigaction(2)).
const (
	cldExited  = 1
	cldKilled  = 2
	cldDumped  = 3
	cldTrapped = 4
)

// waitInfo waits until one of the events of options happens to a child, and
// tells what it is without taking it: si_code and si_status (waitid(2)).
func waitInfo(pid, options int) (code, status int, err error) {
	var info unix.Siginfo
	for {
		err = unix.Waitid(unix.P_PID, pid, &info, options|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// The union begins after three ints, where a pointer may stand: si_pid,
	// si_uid, si_status.
	const word = unsafe.Sizeof(uintptr(0))
	union := (3*unsafe.Sizeof(int32(0)) + word - 1) / word * word
	return int(info.Code), int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), union+8))), err
}

// exitOf describes the end of a process by its si_code and si_status.
func exitOf(pid, code, status int, at time.Time) Exit {
	e := Exit{Kind: Crashed, PID: pid, Code: status, At: at}
	if code != cldExited {
		e.Code, e.Signal, e.Core = -1, syscall.Signal(status), code == cldDumped
	} else if status == 0 {
		e.Kind = Clean
	}
	return e
}
