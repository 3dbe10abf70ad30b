package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/procfs"
)

// Clear kills the descendants of a state's process: all processes with its mark in their
// environment, whatever their parent is. The process itself must have ended, see [Find].
// The error names those that did not end in time. A process that has overwritten its
// environment is not found, unless it is a known descendant of a process that was taken
// over, or in that one's process group.
func Clear(s State) (killed int, err error) {
	boot, space, err := here()
	if err != nil || s.Boot != boot || s.Space != space {
		return 0, err
	}
	return sweep(s, map[int]string{})
}

// End kills the process of a state, if it lives, and what it has left behind. It
// reports whether it lived.
func End(s State) (lived bool, err error) {
	v, err := Find(s)
	if errors.Is(err, ErrGone) {
		_, err = Clear(s)
		return false, err
	}
	if err != nil {
		return false, err
	}
	v.kill()
	awaitEnd(v.fd, time.Now().Add(orphanTimeout))
	return true, v.bury()
}

// sweep is Clear, and kills those of known, too. What descends from those that
// it kills is known from then on.
func sweep(s State, known map[int]string) (killed int, err error) {
	o := &origin{mark: s.env(), known: known}
	spared := ancestors()
	deadline := time.Now().Add(orphanTimeout)
	for quiet := 0; quiet < 2; quiet++ { // a look may miss one that is being born
		fds, pids := o.strike(spared)
		killed += len(fds)
		if len(fds) > 0 {
			quiet = -1
		}
		for _, fd := range fds {
			awaitEnd(fd, deadline)
			unix.Close(fd)
		}
		if time.Now().After(deadline) {
			return killed, fmt.Errorf("processes %v were killed and have not ended", pids)
		}
	}
	return killed, nil
}

// strike kills all processes of an origin but the spared ones. A process is
// examined after its pidfd is open, so that exactly the examined process is killed.
func (o *origin) strike(spared map[int]bool) (fds, pids []int) {
	for _, pid := range procfs.Processes() {
		if spared[pid] || !o.lives(pid) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if !o.lives(pid) || !alive(fd) {
			unix.Close(fd)
			continue
		}
		o.note(pid)
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		fds, pids = append(fds, fd), append(pids, pid)
	}
	return fds, pids
}

// lives reports whether a process is the origin's and has not ended.
func (o *origin) lives(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err == nil && !st.Zombie && o.claims(pid, st)
}

// ancestors are this process and those that it descends from.
func ancestors() map[int]bool {
	list := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !list[pid]; {
		list[pid] = true
		st, err := procfs.ReadStat(pid)
		if err != nil {
			break
		}
		pid = st.Parent
	}
	return list
}
