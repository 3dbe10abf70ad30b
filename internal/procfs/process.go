package procfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Stat is some of what /proc/PID/stat says of a process.
type Stat struct {
	Zombie bool   // it has ended, with all its threads, and is not reaped
	Ending bool   // or it is about to: what it has open is closed, or will be
	Parent int    // 0: none
	Group  int    // process group
	Start  string // when it began, in ticks since boot: with the number it names a process for good
	Exit   int    // of a zombie, as wait(2) has it; 0 if this process may not know
}

// ReadStat reads /proc/PID/stat.
func ReadStat(pid int) (Stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, err
	}
	s, err := parseStat(b)
	if err == nil && s.Ending && !s.Zombie {
		s.Ending = !runs(pid)
	}
	return s, err
}

// runs reports whether a thread of a process, the first of which is ending or has ended, is
// to go on. A process whose main function has left by pthread_exit lives on without it.
func runs(pid int) bool {
	for _, thread := range threads(pid) {
		b, _ := os.ReadFile(filepath.Join(thread, "stat")) // it may have ended
		if s, err := parseStat(b); err == nil && !s.Ending {
			return true
		}
	}
	return false
}

// threads returns the directories of the threads of a process.
func threads(pid int) []string {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	entries, _ := os.ReadDir(dir)
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = filepath.Join(dir, e.Name())
	}
	return list
}

// killed reports whether SIGKILL is among the signals that a thread has yet to take, as
// the kernel writes them: all threads of a process have it from the moment that the process
// is killed.
func killed(pending string) bool {
	signals, err := strconv.ParseUint(pending, 10, 64)
	return err == nil && signals&(1<<(syscall.SIGKILL-1)) != 0
}

func parseStat(b []byte) (Stat, error) {
	// The command's name, in parentheses, may contain anything.
	i := bytes.LastIndex(b, []byte(") "))
	f := strings.Fields(string(b[i+1:])) // f[0] is field 3, the state
	if i < 0 || len(f) < 20 {
		return Stat{}, fmt.Errorf("malformed /proc/PID/stat: %q", b)
	}
	alone := f[17] == "0" || f[17] == "1" // the number of threads, of which the first waits for the others
	ended := f[0] == "Z" || f[0] == "X"
	s := Stat{Zombie: ended && alone, Start: f[19]}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	s.Ending = ended || flags&exiting != 0 || len(f) > 28 && killed(f[28])
	for at, to := range map[int]*int{1: &s.Parent, 2: &s.Group, 49: &s.Exit} {
		if at < len(f) && err == nil {
			*to, err = strconv.Atoi(f[at])
		}
	}
	return s, err
}

// exiting is the kernel's PF_EXITING, which a thread has before it lets go of its files.
const exiting = 4

// Ending reports whether a process is ending or has ended. It is true for whoever has
// seen that something of the process was closed by its end.
func Ending(pid int) bool {
	st, err := ReadStat(pid)
	if err != nil {
		return isGone(pid)
	}
	return st.Ending
}

// HasClosed reports whether a process that was ending has closed all that it had open. 0 is nobody:
// the kernel itself closes what an io_uring has.
func HasClosed(pid int) bool {
	st, err := ReadStat(pid)
	if err != nil {
		return pid == 0 || isGone(pid)
	}
	return st.Zombie || !st.Ending // else another one has its number
}

// isGone reports whether there is no process, of one that cannot be read: it may only be hidden.
func isGone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// Family lists a process and all that descend from it.
func Family(pid int) []int {
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		list = append(list, Children(list[i])...)
	}
	return list
}

// HasEnv reports whether a process was started with variable, NAME=VALUE, in
// its environment. Programs that write titles over their environment have lost
// it.
func HasEnv(pid int, variable string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, b...), []byte("\x00"+variable+"\x00"))
}

// Name returns the name of the program that a process runs, at most 15 bytes.
func Name(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}

// Processes lists all processes that can be seen.
func Processes() []int {
	entries, _ := os.ReadDir("/proc")
	var list []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// Sockets returns the inodes of the sockets that a process has open.
func Sockets(pid int) []uint32 {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	if len(entries) == 0 { // its first thread may have ended
		for _, thread := range threads(pid) {
			dir = filepath.Join(thread, "fd")
			if entries, _ = os.ReadDir(dir); len(entries) > 0 {
				break
			}
		}
	}
	var list []uint32
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		number, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); err == nil {
			list = append(list, uint32(n))
		}
	}
	return list
}
