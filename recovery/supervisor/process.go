package supervisor

import (
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one running child.
type process struct {
	cmd      *exec.Cmd
	ownGroup bool // it leads a process group of its own
	origin   origin
	started  time.Time
	done     chan Exit // one value when it has ended; it is not reaped then
}

// spawn starts the command. Without a controlling terminal it gets a process
// group of its own, so that a stop or a crash can end what it had forked. With
// one it shares the group of this process, so that job control and the
// terminal's signals treat both as the one job that the user started.
func (r *run) spawn(env []string) (*process, error) {
	terminal, _ := controllingTerminal()
	plan := r.plan
	cmd := exec.Command(plan.path, plan.cfg.Command[1:]...)
	cmd.Args[0] = plan.cfg.Command[0]
	cmd.Env = append(append(append([]string(nil), plan.cfg.Env...), plan.account.env...), env...)
	cmd.Env = append(cmd.Env, r.s.mark)
	cmd.Dir = plan.cfg.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = plan.cfg.Stdin, plan.cfg.Stdout, plan.cfg.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    !terminal,
		Pdeathsig:  syscall.SIGKILL,
		Credential: plan.account.cred,
	}
	if err := r.forker.start(cmd, plan.cfg.Limits); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ownGroup: !terminal, started: time.Now(), done: make(chan Exit, 1),
		origin: origin{mark: r.s.mark, belongs: plan.cfg.Belongs}}
	if p.ownGroup {
		p.origin.group = cmd.Process.Pid
	}
	go p.wait()
	return p, nil
}

// wait tells how the child has ended, and leaves the zombie.
func (p *process) wait() {
	pid := p.cmd.Process.Pid
	code, status, err := waitInfo(pid, unix.WEXITED)
	at := time.Now()
	exit := exitOf(pid, code, status, at)
	if err != nil { // somebody else has reaped it
		exit = Exit{Kind: Crashed, PID: pid, Code: -1, At: at}
	}
	exit.Ran = at.Sub(p.started)
	p.done <- exit
}

// bury reaps the child. What is left of it is killed while the zombie still
// holds the group's number: a worker that survives its parent would keep the
// service's port from the restarted process.
func (p *process) bury() error {
	p.killGroup()
	var err error
	if children.adopting() {
		_, err = children.clear(&p.origin)
	}
	// Stdio are files, so the only error is a status other than 0, which is
	// known.
	_ = children.reap(p.cmd)
	return err
}

// signal sends sig to the main process only, which knows best how its workers
// have to end.
func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// kill kills the main process only; its end ends the others.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// killGroup kills the process and what it has forked, if they have a group.
func (p *process) killGroup() {
	if p.ownGroup {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // ESRCH: nothing is left
	}
}

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
