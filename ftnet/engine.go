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

// engine is the process's link to one engine. All listeners share it; it lasts
// until the process ends, for the engine takes its end for the process's.
type engine struct {
	client  *control.Client
	journal *journal.Map
	service string
	nextID  atomic.Uint64 // of listeners
}

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
		case <-e.client.Lost():
			delete(engines, path)
		default:
			return e, nil
		}
	}
	client, welcome, err := control.Dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s=%s: %w", ErrNoEngine, control.EnvPath, path, err)
	}
	m, err := journal.Open(welcome.FD)
	control.CloseFD(welcome.FD)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	e := &engine{client: client, journal: m, service: welcome.Service}
	engines[path] = e
	go func() {
		<-client.Lost()
		log.Warn("ftnet: the engine is gone; connections go on unprotected", "service", e.service)
	}()
	return e, nil
}
