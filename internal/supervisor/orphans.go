package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/oom"
	"github.com/ftnet/ftnet/internal/procfs"
)

// markEnv is in the environment of each child. Its value names the supervisor,
// so that the process that a child leaves behind can be told from another's.
const markEnv = "FTNET_SUPERVISED"

// orphanTimeout bounds the wait for killed orphans; only the kernel can delay
// their end (a disk that does not answer, for instance).
const orphanTimeout = 5 * time.Second

// children are this process's, by their origin: those that this package has
// started, and all others, which are orphans once Adopt was called.
var children = registry{own: map[int]bool{}}

type registry struct {
	// births is held for reading while a child is started, for writing while
	// children are told apart, killed or reaped: no process number changes its
	// meaning then.
	births sync.RWMutex

	mu  sync.Mutex // guards own
	own map[int]bool

	adoption sync.Mutex // guards what follows; taken before the others
	adopters int
	end      func() // the reaper's
}

// Adopt makes this process the one that inherits its descendants' orphans
// (PR_SET_CHILD_SUBREAPER), reaps them, and, when a supervised child has ended, kills its
// descendants, even those that have left the child's process group. An orphan belongs to a child if it is in its group, or has the mark of
// its supervisor in its environment, or descends from one that does, or if
// [Config.Belongs] says so.
//
// While it is in force, every child of this process that was not started by
// this package counts as an orphan, and is reaped: use [Exec] for others. The
// returned function ends it; Adopt may be called several times.
func Adopt() (release func(), err error) {
	r := &children
	r.adoption.Lock()
	defer r.adoption.Unlock()
	if r.adopters == 0 {
		if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
			return nil, fmt.Errorf("adopt orphans: /proc must be mounted and show this process as %d: %v", os.Getpid(), err)
		}
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("adopt orphans: %w", err)
		}
		r.end = r.startReaper()
	}
	r.adopters++
	return sync.OnceFunc(func() {
		r.adoption.Lock()
		defer r.adoption.Unlock()
		if r.adopters--; r.adopters == 0 {
			r.end()
			_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) // cannot fail where setting did not
		}
	}), nil
}

func (r *registry) adopting() bool {
	r.adoption.Lock()
	defer r.adoption.Unlock()
	return r.adopters > 0
}

// startReaper reaps orphans as they end, until the returned function is called.
func (r *registry) startReaper() (stop func()) {
	ended := make(chan os.Signal, 1) // one is enough: each look finds all
	signal.Notify(ended, syscall.SIGCHLD)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			r.births.Lock()
			for pid := range r.orphans() {
				reapOrphan(pid)
			}
			r.births.Unlock()
			select {
			case <-quit:
				return
			case <-ended:
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(quit)
		<-done
	}
}

// start starts a child by launch and notes that it is one.
func (r *registry) start(cmd *exec.Cmd, launch func() error) error {
	r.births.RLock()
	defer r.births.RUnlock()
	if err := oom.Start(launch); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own[cmd.Process.Pid] = true
	return nil
}

// reap waits for a child that has ended already.
func (r *registry) reap(cmd *exec.Cmd) error {
	r.births.Lock()
	defer r.births.Unlock()
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, cmd.Process.Pid)
	return err
}

// orphans lists the children that this package has not started, with what they
// are. r.births is held for writing.
func (r *registry) orphans() map[int]procfs.Stat {
	var found map[int]procfs.Stat
	for _, pid := range procfs.Children(os.Getpid()) {
		r.mu.Lock()
		own := r.own[pid]
		r.mu.Unlock()
		if own {
			continue
		}
		if st, err := procfs.ReadStat(pid); err == nil {
			if found == nil {
				found = map[int]procfs.Stat{}
			}
			found[pid] = st
		}
	}
	return found
}

// reapOrphan reaps a child if it has ended. A zombie of which other threads still
// run has not.
func reapOrphan(pid int) bool {
	var ws unix.WaitStatus
	got, err := unix.Wait4(pid, &ws, unix.WNOHANG|unix.WALL, nil)
	return got == pid || err == unix.ECHILD // then somebody else has
}

// Exec runs a command to its end, as cmd.Run does, but may be used while
// [Adopt] is in force. The command's streams must be files or nil.
func Exec(cmd *exec.Cmd) error {
	if err := children.start(cmd, cmd.Start); err != nil {
		return err
	}
	_, _, _ = waitInfo(cmd.Process.Pid, unix.WEXITED) // reap tells what went wrong
	return children.reap(cmd)
}
