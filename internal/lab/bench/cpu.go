package bench

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, which is 100 on every architecture of Linux.
const ticksPerSecond = 100

// systemCPU returns the seconds that all CPUs have been busy since boot: all
// fields of the first line of proc_stat(5) but idle, iowait and the guest time
// that is contained in others.
func systemCPU() (float64, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return 0, err
	}
	var busy float64
	for i, field := range strings.Fields(line)[1:] {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 && i < 8 {
			busy += v
		}
	}
	return busy / ticksPerSecond, nil
}

// processCPU returns the seconds of CPU time that a process has used: utime
// and stime, fields 14 and 15 of proc_pid_stat(5).
func processCPU(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: short stat", pid)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("process %d: %s", pid, stat)
	}
	return (user + system) / ticksPerSecond, nil
}
