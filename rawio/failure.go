package rawio

import (
	"errors"
	"net"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/south"
)

// failure is that of a loop without which the engine does not do its work. An engine that has failed is as
// good as one that is stuck: its heartbeat ends, and the gate does what it does for a dead one;
// no connection counts as protected; and [Engine.Err] tells whoever can start another one.
type failure struct {
	err    error // valid when failed is closed
	failed chan struct{}
}

func newFailure() failure { return failure{failed: make(chan struct{})} }

// Err returns nil, or why the engine has failed. It will not work again.
func (e *Engine) Err() error {
	select {
	case <-e.failure.failed:
		return e.failure.err
	default:
		return nil
	}
}

// fail ends the engine's work because of an error; the one that Close leads to is none.
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
