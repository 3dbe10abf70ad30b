// Package priority is for threads that packets wait for.
package priority

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// nice is the nice value of such threads. What they do for a connection, its
// server and its client wait for; the kernel's own packet processing comes before
// both as well.
const nice = -15

// Raise binds the calling goroutine to its thread and raises the thread's
// priority. If the process may not do that it returns why, and the goroutine is
// not bound. Processes that are forked by other threads do not inherit it.
func Raise() error {
	runtime.LockOSThread()
	err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice)
	if err != nil {
		runtime.UnlockOSThread()
	}
	return err
}
