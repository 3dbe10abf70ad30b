package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ftnet/ftnet/internal/status"
)

// collect has the garbage collector of an engine run for each twentieth by which its
// heap grows. Otherwise what is resident depends on when it ran last, and on how much of
// what the start has left behind is in use again: some megabytes, as much as thousands
// of connections take.
const collect = "GOGC=5"

// idleMemory measures what connections that do nothing take in the engine, in bytes of
// its own memory without garbage, and in the log.
func (w *world) idleMemory(n int, t *Table) (err error) {
	cmd := w.listener()
	cmd.Env = append(os.Environ(), collect)
	if err := w.launch(cmd); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	// The first connections make the engine allocate what it keeps for good.
	if _, err := w.do(Job{Kind: "echo", Count: 1000}); err != nil {
		return err
	}
	before, err := w.memory()
	if err != nil {
		return err
	}
	return w.beside(n, func() error {
		with, err := w.memory()
		if err != nil {
			return err
		}
		if with.connections < n {
			return fmt.Errorf("the engine knows %d of %d idle connections", with.connections, n)
		}
		t.add(w.column, idleMemory, float64(with.engine-before.engine)/float64(n))
		t.add(w.column, idleLog, float64(with.log-before.log)/float64(n))
		return nil
	})
}

// beside calls f while n connections are open that do nothing.
func (w *world) beside(n int, f func() error) error {
	crowd, err := w.client(Job{Kind: "idle", Count: n})
	if err != nil {
		return err
	}
	defer crowd.stop()
	if err := crowd.ready(); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := crowd.proceed(); err != nil {
		return err
	}
	_, err = crowd.result()
	return err
}

// idle measures what connections that do nothing cost.
func (w *world) idle(c Config, t *Table) (err error) {
	if w.protected {
		if err := w.idleMemory(c.Idle, t); err != nil {
			return err
		}
	}
	if err := w.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	return w.beside(c.Idle, func() error {
		r, err := w.do(Job{Kind: "echo", Count: c.Echoes})
		if err == nil {
			t.add(w.column, crowdedP50, r.P50)
		}
		return err
	})
}

// memory is what the engine takes, in bytes, for the log, which is client bytes and the
// journal of reads and replies, and for all else; and its connections.
type memory struct {
	engine, log int64
	connections int
}

func (w *world) memory() (m memory, err error) {
	own, err := ownBytes(w.cmd.Process.Pid) // before the engine makes a page of all connections
	if err != nil {
		return m, err
	}
	d, err := w.status()
	if err != nil {
		return m, err
	}
	for _, s := range d.Services {
		m.connections += s.Connections
	}
	m.log = int64(d.Log.Memory + d.Memory.Journal)
	m.engine = own - int64(d.Log.Memory) // the journal is shared memory
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

// ownBytes returns a process's resident memory but for mapped files, programs and memory
// that it shares.
func ownBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "\nRssAnon:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d: no RssAnon", pid)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}
