package recovery

import (
	"os"
	"sync"
	"syscall"

	"github.com/ftnet/ftnet/internal/supervisor"
)

// earlySignals passes signals on to a supervisor that may not run yet, and tells
// before it does that one asks for the end.
type earlySignals struct {
	passed chan os.Signal
	done   chan struct{}

	mu    sync.Mutex // guards what follows
	asked syscall.Signal
	onAsk func()
}

func newEarlySignals(signals <-chan os.Signal) *earlySignals {
	e := &earlySignals{passed: make(chan os.Signal, 32), done: make(chan struct{})}
	go e.run(signals)
	return e
}

func (e *earlySignals) run(signals <-chan os.Signal) {
	for {
		select {
		case got := <-signals:
			select {
			case e.passed <- got:
			default: // as signal.Notify does
			}
			e.note(got)
		case <-e.done:
			return
		}
	}
}

// note keeps the first signal that asks for the end.
func (e *earlySignals) note(got os.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	sig, ok := got.(syscall.Signal)
	if e.asked != 0 || !ok || !supervisor.Stops(sig) {
		return
	}
	e.asked = sig
	if e.onAsk != nil {
		e.onAsk()
	}
}

// onStop has f called when a signal asks for the end, at once if one has.
func (e *earlySignals) onStop(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onAsk = f
	if e.asked != 0 {
		f()
	}
}

// stop returns the signal that has asked for the end; 0 if none has.
func (e *earlySignals) stop() syscall.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *earlySignals) close() { close(e.done) }
