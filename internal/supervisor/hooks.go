package supervisor

// Hooks are called by [Supervisor.Run] in its own goroutine, one at a time and
// in this order for each start: Starting, Started, (Stopping,) Ended, Exited.
// Nothing else happens until a hook returns, so that what Exited does
// (declaring the outage) is done before the next start. A hook must not call
// the supervisor.
type Hooks interface {
	// Starting is called before each start. attempt starts at 1; a process that was
	// taken over counts as attempt 1, although Starting is not called for it. env is
	// added to the child's environment. An error ends the supervision.
	Starting(attempt int) (env []string, err error)
	// Started is called when the process runs. It may have done something
	// already by then.
	Started(pid int)
	// Stopping is called once, when the process is about to be asked to end:
	// on a signal, the end of Run's context, or by Stop. If the request came
	// from the terminal the process has it already.
	Stopping()
	// Ended is called when the process has ended but its descendants may still run.
	// An error ends the supervision after Exited: Run returns it.
	Ended(Exit) error
	// Exited is called when the process and its descendants have been reaped: their
	// sockets are closed. If e.Again, a start, GaveUp or Halted follows.
	Exited(e Exit)
	// Halted is called when Stop has taken effect: no process runs, and none
	// is started before Start or Restart is called or Run returns.
	Halted()
	// FellBack is called when the process that Restart started could not be started, or
	// ended before it served (see Supervisor.Confirm). The previous version is started
	// next. FellBack follows Exited or Starting.
	FellBack(why error)
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
func (NoHooks) Ended(Exit) error               { return nil }
func (NoHooks) Exited(Exit)                    {}
func (NoHooks) Halted()                        {}
func (NoHooks) FellBack(error)                 {}
func (NoHooks) GaveUp(error)                   {}
