package demo

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// place is an OS thread, perhaps in a network namespace of its own, that starts
// processes there. They die with it, and the namespace with the last of them:
// nothing has a name that could stay behind.
type place struct{ work chan func() }

func newPlace(private bool) (*place, error) {
	p := &place{work: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: a thread in another namespace must not be used again.
		runtime.LockOSThread()
		if private {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				ready <- err
				return
			}
		}
		ready <- nil
		for f := range p.work {
			f()
		}
	}()
	return p, <-ready
}

// do runs f on the thread.
func (p *place) do(f func() error) error {
	done := make(chan error)
	p.work <- func() { done <- f() }
	return <-done
}

// start starts the command on the thread, in a process group of its own: Ctrl-C
// is the director's to handle.
func (p *place) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return p.do(cmd.Start)
}

func (p *place) close() { close(p.work) }
