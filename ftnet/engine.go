package ftnet

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

// engine is the process's link to the engine at one path, and to those that
// come after it there. All listeners share it; it lasts until the process ends,
// for the engine takes its end for the process's.
type engine struct {
	session *control.Session
	memory  atomic.Pointer[memory]
	service string
	log     *slog.Logger
	nextID  atomic.Uint64 // of listeners
}

// memory is a journal. An engine that has not adopted its predecessor's brings
// another one, with slots of its own.
type memory struct {
	*journal.Map
	number uint64 // to the session
}

var _ control.Events = (*engine)(nil)

var (
	enginesMu sync.Mutex // guards engines
	engines   = map[string]*engine{}
)

// findEngine returns the link to the engine that the environment names.
func findEngine(ctx context.Context, log *slog.Logger) (*engine, error) {
	if runtime.GOOS != "linux" {
		return nil, ErrNotSupported
	}
	path := os.Getenv(control.EnvPath)
	if path == "" {
		return nil, ErrNoEngine
	}
	enginesMu.Lock()
	defer enginesMu.Unlock()
	if e := engines[path]; e != nil {
		select {
		case <-e.session.Done():
			delete(engines, path)
		default:
			return e, nil
		}
	}
	e := &engine{log: log}
	session, err := control.DialSession(ctx, path, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %s=%s: %w", ErrNoEngine, control.EnvPath, path, err)
	}
	e.session = session
	engines[path] = e
	return e, nil
}

// Open maps a journal.
func (e *engine) Open(w control.Welcome, number uint64) error {
	m, err := journal.Open(w.FD)
	if err != nil {
		return err
	}
	e.service = w.Service // it stays the same
	e.memory.Store(&memory{m, number})
	return nil
}

func (e *engine) Lost(again bool, why error) {
	switch {
	case again:
		e.log.Warn("ftnet: engine killed; connections continue while the next engine is awaited", "service", e.service)
	case why != nil:
		e.log.Error("ftnet: no engine took over the process; connections continue unprotected", "service", e.service, "reason", why)
	default:
		e.log.Warn("ftnet: engine ended; connections continue unprotected", "service", e.service)
	}
}

func (e *engine) Refused(_ uint64, why error) {
	e.log.Error("ftnet: the new engine rejected a listener; it is not protected any more", "service", e.service, "reason", why)
}

func (e *engine) Resumed() {
	e.log.Info("ftnet: connected to a new engine", "service", e.service)
}
