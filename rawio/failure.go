package rawio

import (
	"errors"
	"net"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// failure records that a loop which the engine needs has failed. A failed engine behaves like one that is
// stuck: its heartbeat ends, and the gate takes it for dead;
// no connection counts as protected; and [Engine.Err] returns the error, so that another engine can be
// started.
type failure struct {
	err    error // valid when failed is closed
	failed chan struct{}
}

func newFailure() failure { return failure{failed: make(chan struct{})} }

// Err returns nil, or why the engine has failed. A failed engine does not recover.
func (e *Engine) Err() error {
	select {
	case <-e.failure.failed:
		return e.failure.err
	default:
		return nil
	}
}

// fail marks the engine as failed because of an error, unless Close has caused the error.
func (e *Engine) fail(what string, err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	e.do(func(m *south.Machine) {
		if e.Err() != nil {
			return
		}
		e.failure.err = err
		close(e.failure.failed)
		e.log.Error("the engine has failed: "+what, "error", err)
		m.Fail(err.Error())
		e.gone = errors.Is(err, gate.ErrTakenOver)
	})
}
