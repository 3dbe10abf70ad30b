package rawio

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// engineNice is the nice value of the threads that packets wait for. What they
// do for a connection, its server and its client wait for; the kernel's own
// packet processing comes before both as well.
const engineNice = -15

// hurry binds the calling goroutine to its thread and raises the thread's
// priority. Processes that the engine's process starts do not inherit it: they
// are forked by other threads.
func (e *Engine) hurry() {
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, engineNice); err != nil {
		e.log.Debug("the engine runs at the usual priority", "error", err)
	}
}
