package supervisor

import (
	"crypto/rand"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/procfs"
)

// origin tells the orphans of one child from those of others.
type origin struct {
	group   int    // process group; 0: none of its own
	mark    string // as it is in the environment
	belongs func(pid int) bool
	// known are orphans that were killed, and their descendants, by number and
	// start. When their parent ends those are orphans, too.
	known map[int]string
}

// newMark returns a mark that no other supervisor has, or has had.
func newMark() string { return rand.Text() }

func (o *origin) claims(pid int, st procfs.Stat) bool {
	return o.known[pid] == st.Start || o.group != 0 && st.Group == o.group ||
		procfs.HasEnv(pid, o.mark) || o.belongs != nil && o.belongs(pid)
}

// note remembers the descendants of a process.
func (o *origin) note(pid int) {
	for _, child := range procfs.Children(pid) {
		if st, err := procfs.ReadStat(child); err == nil && o.known[child] != st.Start {
			o.known[child] = st.Start
			o.note(child)
		}
	}
}

// clear kills the orphans of one origin until none is left, and returns how
// many it has killed. The error names those that did not end in time.
//
// Only orphans are killed, and their children when they have become orphans:
// nobody else can reap an orphan, so its number is certain. The kernel's list of
// children may miss one while others end, so two scans in a row must find nothing,
// unless the first scan found nothing to do.
func (r *registry) clear(o *origin) (killed int, err error) {
	o.known = map[int]string{}
	deadline := time.Now().Add(orphanTimeout)
	for quiet := false; ; {
		fds, pids := r.strike(o)
		killed += len(fds)
		if len(fds) == 0 && (quiet || killed == 0) {
			return killed, nil
		}
		quiet = len(fds) == 0
		for _, fd := range fds {
			awaitEnd(fd, deadline)
			unix.Close(fd)
		}
		if time.Now().After(deadline) {
			return killed, fmt.Errorf("processes %v were killed and have not ended", pids)
		}
	}
}

// strike kills the orphans of one origin and returns descriptors of those that
// still live.
func (r *registry) strike(o *origin) (fds, pids []int) {
	r.births.Lock()
	defer r.births.Unlock()
	for pid, st := range r.orphans() {
		if st.Zombie && reapOrphan(pid) || !o.claims(pid, st) {
			continue
		}
		o.known[pid] = st.Start
		o.note(pid)
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // the next look tells
		}
		_ = unix.Kill(pid, unix.SIGKILL) // a child of ours, not reaped: it is the one
		fds, pids = append(fds, fd), append(pids, pid)
	}
	return fds, pids
}

// awaitEnd waits until the process of a descriptor has ended.
func awaitEnd(fd int, deadline time.Time) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != unix.EINTR {
			return
		}
	}
}
