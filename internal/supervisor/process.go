package supervisor

import (
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one running process.
type process struct {
	pid      int
	ownGroup bool // it leads a process group of its own
	started  time.Time
	done     chan Exit // one value when it has ended; a child is not reaped then
	body     body
	recorder Recorder // nil: it dies with this process
}

// body is what is done to a process: a child, or a [Survivor].
type body interface {
	// signal sends sig to the main process only, which knows best how its workers
	// have to end.
	signal(sig syscall.Signal) error
	// kill kills the main process only; its end ends the others.
	kill()
	// killGroup kills the process and what it has forked, if they have a group.
	killGroup()
	// bury removes the process, which has ended, and what is left of it.
	bury() error
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
	mark := (&State{Mark: r.s.mark}).env()
	cmd.Env = append(cmd.Env, mark)
	cmd.Dir = plan.cfg.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = plan.cfg.Stdin, plan.cfg.Stdout, plan.cfg.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    !terminal,
		Pdeathsig:  syscall.SIGKILL,
		Credential: plan.account.cred,
	}
	c := &spawned{cmd: cmd, ownGroup: !terminal, origin: origin{mark: mark, belongs: plan.cfg.Belongs}}
	p := &process{ownGroup: !terminal, done: make(chan Exit, 1), body: c}
	var state State
	if !terminal {
		p.recorder, state = r.intend()
	}
	if p.recorder != nil {
		cmd.SysProcAttr.Pdeathsig = 0
	}
	r.program = plan.program
	if r.program == nil {
		r.program = openProgram(plan.path)
	}
	if err := r.forker.start(cmd, plan.cfg.Limits); err != nil {
		if p.recorder != nil {
			_ = p.recorder.Forget() // else the next supervisor finds that nobody is there
		}
		return nil, err
	}
	p.pid, p.started = cmd.Process.Pid, time.Now()
	if p.ownGroup {
		c.origin.group = p.pid
	}
	if p.recorder != nil {
		r.record(p, state)
	}
	go c.wait(p)
	return p, nil
}

// intend records that a process is about to be started. It returns nil if the
// process is to die with this one.
func (r *run) intend() (Recorder, State) {
	to := r.plan.cfg.Survive
	if to == nil {
		return nil, State{}
	}
	state, err := newState(r.s.mark, &r.plan.cfg)
	if err == nil {
		err = to.Record(state)
	}
	if err != nil {
		r.plan.cfg.Logger.Error("process state cannot be written; the process will end with the engine", "error", err)
		return nil, state
	}
	return to, state
}

// record completes the record.
func (r *run) record(p *process, state State) {
	state, err := state.started(p.pid, p.started)
	if err == nil {
		err = p.recorder.Record(state)
	}
	if err != nil { // it can be found by its mark
		r.plan.cfg.Logger.Warn("process state cannot be written in full", "pid", p.pid, "error", err)
	}
}

// spawned is a child of this process.
type spawned struct {
	cmd      *exec.Cmd
	ownGroup bool
	origin   origin
}

// wait tells how the child has ended, and leaves the zombie.
func (c *spawned) wait(p *process) {
	code, status, err := waitInfo(p.pid, unix.WEXITED)
	at := time.Now()
	exit := exitOf(p.pid, code, status, at)
	if err != nil { // somebody else has reaped it
		exit = Exit{Kind: Crashed, PID: p.pid, Code: -1, At: at}
	}
	exit.Ran = at.Sub(p.started)
	p.done <- exit
}

// bury reaps the child. What is left of it is killed while the zombie still
// holds the group's number: a worker that survives its parent would keep the
// service's port from the restarted process.
func (c *spawned) bury() error {
	c.killGroup()
	var err error
	if children.adopting() {
		_, err = children.clear(&c.origin)
	}
	// Stdio are files, so the only error is a status other than 0, which is
	// known.
	_ = children.reap(c.cmd)
	return err
}

func (c *spawned) signal(sig syscall.Signal) error { return c.cmd.Process.Signal(sig) }

func (c *spawned) kill() { _ = c.cmd.Process.Kill() }

func (c *spawned) killGroup() {
	if c.ownGroup {
		_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL) // ESRCH: nothing is left
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
