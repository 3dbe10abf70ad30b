package supervisor

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/procfs"
)

// How long, after the end of a process that is not a child, is asked how it
// has ended: until its parent has reaped it.
const (
	exitPatience = time.Second
	exitPoll     = 2 * time.Millisecond
)

// await waits for the end.
func (v *Survivor) await() Exit {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			break
		}
	}
	at := time.Now()
	e := Exit{Kind: Crashed, PID: v.state.PID, Code: -1, Unknown: true, At: at, Ran: max(0, at.Sub(v.state.Began))}
	for ; time.Since(at) < exitPatience; time.Sleep(exitPoll) {
		status, known, more := v.result()
		if known {
			code, value := cldExited, status.ExitStatus()
			if status.Signaled() {
				if code, value = cldKilled, int(status.Signal()); status.CoreDump() {
					code = cldDumped
				}
			}
			ran := e.Ran
			e = exitOf(e.PID, code, value, at)
			e.Ran = ran
		}
		if !more {
			break
		}
	}
	return e
}

// result asks how the process has ended: its pidfd (since Linux 6.15, once it
// is reaped), or the zombie. more means that asking again may help.
func (v *Survivor) result() (status syscall.WaitStatus, known, more bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := unix.IoctlPidfdInfo(v.fd, &info)
	if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
		return syscall.WaitStatus(info.Exit_code), true, false
	}
	st, serr := procfs.ReadStat(v.state.PID)
	if zombie := serr == nil && st.Zombie && st.Start == v.state.Start; zombie {
		// To those who may not know, the kernel says 0.
		if os.Geteuid() == 0 {
			return syscall.WaitStatus(st.Exit), true, false
		}
		return 0, false, true
	}
	return 0, false, err == nil // it is being reaped
}
