package logbench

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// busy returns the CPU time that all processes together have used since boot:
// all fields of the first line of proc_stat(5) but idle, iowait and the guest
// time that is contained in others. It is counted in hundredths of a second.
func busy() (total time.Duration) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return 0
	}
	for i, field := range strings.Fields(line)[1:] {
		if ticks, err := strconv.Atoi(field); err == nil && i != 3 && i != 4 && i < 8 {
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}

// AwaitQuiet waits until nothing else has used more than a tenth of the CPUs for
// half a second, but no longer than limit.
func AwaitQuiet(limit time.Duration) {
	const look = 500 * time.Millisecond
	for start := time.Now(); time.Since(start) < limit; {
		before, own := busy(), cpu()
		time.Sleep(look)
		if others := busy() - before - (cpu() - own); others <= look*time.Duration(runtime.NumCPU())/10 {
			return
		}
	}
}
