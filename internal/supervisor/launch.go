package supervisor

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// forker starts processes from one OS thread that lives as long as it does. A
// parent-death signal is sent when the *thread* that forked ends, and the Go
// runtime ends threads as it likes. A traced process is bound to its thread, too.
type forker struct {
	jobs chan job
	errs chan error
}

type job struct {
	cmd    *exec.Cmd
	limits []Limit
}

func newForker() *forker {
	f := &forker{jobs: make(chan job), errs: make(chan error)}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for j := range f.jobs {
			f.errs <- children.start(j.cmd, func() error { return launch(j.cmd, j.limits) })
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd, limits []Limit) error {
	f.jobs <- job{cmd, limits}
	return <-f.errs
}

// close lets the thread go. No process of it may run any more.
func (f *forker) close() { close(f.jobs) }

// launch starts cmd with resource limits.
//
// They belong to a process, not to a thread, and os/exec has no place to set
// them between fork and exec; setting them from outside afterwards would race
// with the program. So the child asks to be traced: it then stops on its own
// at the end of exec, gets its limits and is let go. (A helper program between
// the two could do it as well, but would have to be found, loaded, and told
// whom to become; changing this process's own limits for a moment would hit
// its other threads.)
func launch(cmd *exec.Cmd, limits []Limit) error {
	if len(limits) == 0 {
		return cmd.Start()
	}
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	if !stopped(pid) {
		return nil // killed already; who waits for it learns how
	}
	// Without its limits it must not run, should this process be killed now.
	_ = unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL) // fails only if it has ended
	err := setLimits(pid, limits, cmd.SysProcAttr.Credential)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if derr := unix.PtraceDetach(pid); derr != nil && !errors.Is(derr, unix.ESRCH) && err == nil {
		err = fmt.Errorf("let the process go: %w", derr)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if err != nil {
		_ = cmd.Wait() // of the killed: its status says nothing
	}
	return err
}

// stopped waits until a traced child stops at the end of exec. It returns false
// if the child ends before.
func stopped(pid int) bool {
	for {
		code, status, err := waitInfo(pid, unix.WEXITED|unix.WSTOPPED)
		switch {
		case err != nil || code != cldTrapped:
			return false
		case status == int(syscall.SIGTRAP):
			return true
		}
		_ = unix.PtraceCont(pid, status) // another signal: it gets what was sent
	}
}
