package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ftnet/ftnet/internal/status"
)

// memory is what the engine takes, in bytes: for the log, which is client bytes
// and the journal of reads and replies, and for all else.
type memory struct{ engine, log int64 }

func (w *world) memory() (m memory, err error) {
	if !w.protected {
		return m, nil
	}
	resident, err := residentBytes(w.cmd.Process.Pid)
	if err != nil {
		return m, err
	}
	d, err := w.status()
	if err != nil {
		return m, err
	}
	m.log = int64(d.Log.Memory + d.Memory.Journal)
	m.engine = resident - m.log
	return m, nil
}

// status fetches what the engine says of itself.
func (w *world) status() (*status.Document, error) {
	// One engine at a time runs in this directory.
	sockets, err := filepath.Glob(filepath.Join(w.programs.RuntimeDir, "*", "status.sock"))
	if err != nil || len(sockets) != 1 {
		return nil, fmt.Errorf("engine's status in %s: found %v %v", w.programs.RuntimeDir, sockets, err)
	}
	return status.Fetch(context.Background(), sockets[0])
}

// residentBytes returns a process's resident memory.
func residentBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "\nVmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d: no VmRSS", pid)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}
