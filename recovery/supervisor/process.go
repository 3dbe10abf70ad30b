package supervisor

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forker starts processes from one OS thread that lives as long as it does. A
// parent-death signal is sent when the *thread* that forked ends, and the Go
// runtime ends threads as it likes.
type forker struct {
	cmds chan *exec.Cmd
	errs chan error
}

func newForker() *forker {
	f := &forker{cmds: make(chan *exec.Cmd), errs: make(chan error)}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for cmd := range f.cmds {
			f.errs <- cmd.Start()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	f.cmds <- cmd
	return <-f.errs
}

// close lets the thread go. No process of it may run any more.
func (f *forker) close() { close(f.cmds) }

// process is one running child.
type process struct {
	cmd      *exec.Cmd
	ownGroup bool // it leads a process group of its own
	started  time.Time
	done     chan Exit // one value when it was reaped
}

// spawn starts the command. Without a controlling terminal it gets a process
// group of its own, so that a stop or a crash can end what it had forked. With
// one it shares the group of this process, so that job control and the
// terminal's signals treat both as the one job that the user started.
func (s *Supervisor) spawn(f *forker, env []string) (*process, error) {
	terminal, _ := controllingTerminal()
	cmd := exec.Command(s.path, s.cfg.Command[1:]...)
	cmd.Args[0] = s.cfg.Command[0]
	cmd.Env = append(append(append([]string(nil), s.cfg.Env...), s.account.env...), env...)
	cmd.Dir = s.cfg.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.cfg.Stdin, s.cfg.Stdout, s.cfg.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    !terminal,
		Pdeathsig:  syscall.SIGKILL,
		Credential: s.account.cred,
	}
	if err := f.start(cmd); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ownGroup: !terminal, started: time.Now(), done: make(chan Exit, 1)}
	go p.wait()
	return p, nil
}

// wait reaps the child. What is left of its process group is killed while the
// zombie still holds the group's number: a worker that survives its parent
// would keep the service's port from the restarted process.
func (p *process) wait() {
	pid := p.cmd.Process.Pid
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if p.ownGroup {
		_ = unix.Kill(-pid, unix.SIGKILL) // ESRCH: nothing is left
	}
	// Stdio are files, so the only error is a status other than 0, which the
	// state says too.
	_ = p.cmd.Wait()
	exit := exitOf(p.cmd.ProcessState)
	exit.At = time.Now()
	exit.Ran = exit.At.Sub(p.started)
	p.done <- exit
}

// signal sends sig to the main process only, which knows best how its workers
// have to end.
func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// permanent reports whether starting again cannot help.
func permanent(err error) bool {
	for _, transient := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.ETXTBSY,
		syscall.EMFILE, syscall.ENFILE, syscall.EINTR, syscall.EIO} {
		if errors.Is(err, transient) {
			return false
		}
	}
	return true
}
