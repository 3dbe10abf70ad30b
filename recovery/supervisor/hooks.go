package supervisor

// Hooks are called by [Supervisor.Run] in its own goroutine, one at a time and
// in this order for each start: Starting, Started, (Stopping,) Exited. Nothing
// else happens until a hook returns, so that what Exited does (declaring the
// outage) is done before the next start.
type Hooks interface {
	// Starting is called before each start; attempt counts from 1. env is
	// added to the child's environment. An error ends the supervision.
	Starting(attempt int) (env []string, err error)
	// Started is called when the process runs. It may have done something
	// already by then.
	Started(pid int)
	// Stopping is called once, when the process is about to be asked to end:
	// on a signal or the end of Run's context. If the request came from the
	// terminal the process has it already.
	Stopping()
	// Exited is called when the process was reaped: its sockets are closed.
	Exited(Exit)
	// GaveUp is called when there will be no further start although nobody
	// asked for the end: *GaveUpError or *StartError. It follows Exited.
	GaveUp(err error)
}

// NoHooks does nothing. Embed it to implement only some of the hooks.
type NoHooks struct{}

var _ Hooks = NoHooks{}

func (NoHooks) Starting(int) ([]string, error) { return nil, nil }
func (NoHooks) Started(int)                    {}
func (NoHooks) Stopping()                      {}
func (NoHooks) Exited(Exit)                    {}
func (NoHooks) GaveUp(error)                   {}
