package rawio

import "github.com/ftnet/ftnet/internal/priority"

// raisePriority raises the priority of the calling goroutine's thread.
func (e *Engine) raisePriority() {
	if err := priority.Raise(); err != nil {
		e.log.Debug("engine priority not raised", "error", err)
	}
}
