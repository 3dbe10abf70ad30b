package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stat is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type stat struct {
	zombie bool
	group  int
	start  string // ticks since boot: with the number it names a process for good
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The command's name may contain anything.
	_, rest, _ := strings.Cut(string(b[max(bytes.LastIndexByte(b, ')'), 0):]), " ")
	f := strings.Fields(rest) // f[0] is field 3, the state
	if len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f)+2)
	}
	group, err := strconv.Atoi(f[2])
	return stat{zombie: f[0] == "Z" || f[0] == "X", group: group, start: f[19]}, err
}

// childrenOf lists the children of all threads of a process. One that begins or
// ends meanwhile may be missing. A process that is gone has none.
func childrenOf(pid int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is well formed
	var list []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		for _, s := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(s); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// hasEnv reports whether a process was started with name=value in its
// environment. Programs that write titles over their environment have lost it.
func hasEnv(pid int, variable string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, b...), []byte("\x00"+variable+"\x00"))
}
