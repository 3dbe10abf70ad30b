package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/procfs"
)

// ErrGone is returned by Find when the process has ended.
var ErrGone = errors.New("the process has ended")

// Survivor is a process that has outlived its supervisor. It is not a child of
// this process. Its pidfd names it for good: nothing is done by its number that
// another process could get.
type Survivor struct {
	state State
	fd    int
	known map[int]string // descendants, by number and start
}

// Find returns the process of a state, if it lives; else the error is [ErrGone],
// and [Clear] may find what it has left behind. A state that was recorded before the
// start leads to the process by its mark. (A process has none before its exec: one
// whose supervisor is killed in the microseconds since the fork, and that has
// still not run when it is looked for, is missed.)
func Find(s State) (*Survivor, error) {
	boot, space, err := here()
	if err != nil {
		return nil, err
	}
	if s.Boot != boot || s.Space != space {
		return nil, fmt.Errorf("%w: it ran under another boot, or in another process namespace", ErrGone)
	}
	if s.PID == 0 {
		if s, err = search(s); err != nil {
			return nil, err
		}
	}
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: a thread of another one
			err = fmt.Errorf("%w: there is no process %d", ErrGone, s.PID)
		}
		return nil, err
	}
	// The descriptor came first: if the process of that number is the one now, it
	// was then.
	st, err := procfs.ReadStat(s.PID)
	if err != nil || st.Start != s.Start || st.Zombie {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: process %d is another one", ErrGone, s.PID)
	}
	v := &Survivor{state: s, fd: fd, known: map[int]string{}}
	v.note()
	return v, nil
}

// search finds the process with a mark from which all others descend: the
// oldest.
func search(s State) (State, error) {
	var found State
	for _, pid := range procfs.Processes() {
		if pid == os.Getpid() || !procfs.HasEnv(pid, s.env()) {
			continue
		}
		st, err := procfs.ReadStat(pid)
		if err != nil || st.Zombie || st.Group != pid || procfs.HasEnv(st.Parent, s.env()) {
			continue
		}
		if found.PID == 0 || older(st.Start, found.Start) {
			found = s
			found.PID, found.Start, found.Began = pid, st.Start, time.Now()
		}
	}
	if found.PID == 0 {
		return s, fmt.Errorf("%w: no process has its mark", ErrGone)
	}
	return found, nil
}

// older compares start times, which are decimal numbers.
func older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }

// env is the mark as a variable of the environment.
func (s *State) env() string { return markEnv + "=" + s.Mark }

// State returns what names the process. Of one that was found by its mark it
// says more than what was recorded.
func (v *Survivor) State() State { return v.state }

// Has reports whether a process is the survivor, or descends from it.
func (v *Survivor) Has(pid int) bool {
	return pid == v.state.PID || pid > 0 && procfs.HasEnv(pid, v.state.env())
}

// Release gives the process up, if it is not to be taken over. It lives on.
func (v *Survivor) Release() error { return unix.Close(v.fd) }

// TakeOver makes Run begin with a process that runs already, in place of a first
// start: Hooks.Starting is not called for it. How it is treated is up to the
// supervisor's configuration, what it is was decided by its predecessor's (see
// [State.Digest]). TakeOver must be called before Run, which then owns the
// survivor.
func (s *Supervisor) TakeOver(v *Survivor) {
	s.taken = v
	s.mark = v.state.Mark
}

// process makes it one that Run attends.
func (v *Survivor) process(r Recorder) *process {
	p := &process{pid: v.state.PID, ownGroup: true, started: v.state.Began, done: make(chan Exit, 1), body: v, recorder: r}
	go func() { p.done <- v.await() }()
	return p
}

func (v *Survivor) signal(sig syscall.Signal) error { return unix.PidfdSendSignal(v.fd, sig, nil, 0) }

func (v *Survivor) kill() {
	v.note()
	_ = v.signal(syscall.SIGKILL) // ESRCH: it has ended
}

// killGroup kills the process's group, by the process's descriptor: the group
// cannot be another's then, even if the process is gone. Where the kernel (before
// 6.9) cannot do that, bury finds the group's processes by their mark.
func (v *Survivor) killGroup() {
	v.note()
	_ = unix.PidfdSendSignal(v.fd, syscall.SIGKILL, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
}

// bury kills what the process has left behind.
func (v *Survivor) bury() error {
	v.killGroup()
	_, err := sweep(v.state, v.known)
	return errors.Join(err, unix.Close(v.fd))
}

// note remembers the descendants while their descent can be seen.
func (v *Survivor) note() {
	o := origin{known: map[int]string{}}
	o.note(v.state.PID)
	if alive(v.fd) { // else its number may have been another's
		maps.Copy(v.known, o.known)
	}
}

// alive reports whether the process of a pidfd has not been reaped.
func alive(fd int) bool { return unix.PidfdSendSignal(fd, 0, nil, 0) == nil }
