package disk

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// writerNice is the nice value of the writer's thread, the same as that of an
// engine's thread: all whose bytes are to become stable wait for it.
const writerNice = -15

// raisePriority binds the calling goroutine to its thread and raises the thread's
// priority, if the process may. Between a write's steps the thread sleeps: on a
// busy host it would wait for its turn after each.
func raisePriority() {
	runtime.LockOSThread()
	if unix.Setpriority(unix.PRIO_PROCESS, 0, writerNice) != nil {
		runtime.UnlockOSThread() // nothing is won
	}
}
