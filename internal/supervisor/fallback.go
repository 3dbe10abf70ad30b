package supervisor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A restart is a trial until the new process serves, which the caller says by
// Confirm. If it ends before that, or cannot be started, the previous version is started
// again: its configuration and its program, even if another file is in the program's
// place by now. The connections, interrupted by the restart, wait meanwhile.
//
//	            Restart            Confirm
//	confirmed ───────────► trial ───────────► confirmed
//	    ▲                    │ ends
//	    └────────────────────┘ the previous version is started

// Confirm says that the process that runs now serves. It may be called at any time,
// by any goroutine.
func (s *Supervisor) Confirm() { s.confirmed.Store(true) }

// onTrial reports whether the process that runs, or has just ended, was started by
// Restart and has not served yet.
func (r *run) onTrial() bool { return r.fallback != nil && !r.s.confirmed.Load() }

// keep notes the running version before Restart ends it, unless that is itself on trial.
func (r *run) keep() {
	if !r.s.confirmed.Load() {
		return
	}
	p := *r.plan
	if r.program != nil && replaced(p.path, r.program) && isBinary(r.program) {
		p.program = r.program // holds what the path names
		p.path = procPath(r.program)
	}
	r.fallback = &p
}

// fallBack makes the next start one of the previous version.
func (r *run) fallBack(why error) {
	r.plan.cfg.Logger.Warn("the new process did not start; the previous one is started again", "reason", why)
	r.s.hooks.FellBack(why)
	r.next, r.fallback = r.fallback, nil
	r.started.answer(fmt.Errorf("%w; the previous version is started again", why))
}

// openProgram holds the program that a path names now, so that it stays when another
// file takes its place. It is nil if that cannot be had.
func openProgram(path string) *os.File {
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return nil
	}
	return f
}

// procPath names a file that this process has open, for a child as well.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// replaced reports whether a path no longer names a file.
func replaced(path string, f *os.File) bool {
	now, err := os.Stat(path)
	before, ferr := f.Stat()
	return ferr == nil && (err != nil || !os.SameFile(now, before))
}

// isBinary reports whether a program can be executed by its descriptor: a script
// cannot, for its interpreter opens it once more, when the descriptor is closed.
func isBinary(f *os.File) bool {
	b := make([]byte, 4)
	in, err := os.Open(procPath(f))
	if err != nil {
		return false
	}
	defer in.Close()
	n, _ := in.Read(b)
	return string(b[:n]) == "\x7fELF"
}
