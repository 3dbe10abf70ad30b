package supervisor

import (
	"fmt"
	"syscall"
	"time"
)

// Kind classifies how a process ended.
type Kind int

const (
	// Clean is an exit with status 0 that nobody asked for: the command is
	// done. Only the policy Always starts it again.
	Clean Kind = iota + 1
	// Crashed is an end by a signal or with another status.
	Crashed
	// Stopped is any end after the process was asked to stop.
	Stopped
	// Planned is the end of a process that Restart has killed.
	Planned
)

func (k Kind) String() string {
	switch k {
	case Clean:
		return "clean"
	case Crashed:
		return "crashed"
	case Stopped:
		return "stopped"
	case Planned:
		return "planned"
	}
	return "unknown"
}

// Exit says how one process ended.
type Exit struct {
	Kind    Kind
	Attempt int            // counts from 1
	PID     int            // no longer valid
	Code    int            // exit status, -1 if a signal ended it
	Signal  syscall.Signal // 0 if it exited
	Core    bool           // a core was dumped
	Killed  bool           // it did not stop within StopTimeout and was killed
	Unknown bool           // it was taken over, and nobody could tell how it ended
	Again   bool           // a start is to follow
	At      time.Time      // when it was reaped
	Ran     time.Duration  // from its start to At
}

// Status is the exit status as a shell would report it: the code, or 128 plus
// the number of the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (e Exit) String() string {
	if e.Kind == Planned {
		return "restarted on request"
	}
	s := fmt.Sprintf("exit status %d", e.Code)
	if e.Unknown {
		s = "ended, exit status unknown"
	} else if e.Signal != 0 {
		s = fmt.Sprintf("killed by signal %d (%v)", int(e.Signal), e.Signal)
		if e.Core {
			s += ", core dumped"
		}
	}
	if e.Killed {
		s += ", after it did not stop in time"
	}
	return s
}

// ExitError is returned by [Supervisor.Run] when the process was asked to stop
// and ended with something else than status 0.
type ExitError struct{ Exit Exit }

func (e *ExitError) Error() string { return "stopped: " + e.Exit.String() }

// GaveUpError is returned by [Supervisor.Run] when the process crashed more
// often than the budget allows.
type GaveUpError struct {
	Crashes int           // crashes that were counted: RestartLimit + 1
	Limit   int           // Config.RestartLimit
	Window  time.Duration // Config.RestartWindow
	Within  time.Duration // what the counted crashes really took
	Last    error         // set if the last one failed to start
	Exit    Exit          // the last exit, if Last is nil
}

func (e *GaveUpError) Error() string {
	last := "last: " + e.Exit.String()
	if e.Last != nil {
		last = "last: " + e.Last.Error()
	}
	return fmt.Sprintf("gave up after %d crashes within %v (limit %d restarts in %v), %s",
		e.Crashes, e.Within.Round(time.Millisecond), e.Limit, e.Window, last)
}

func (e *GaveUpError) Unwrap() error { return e.Last }

// StartError is returned when the command cannot be started at all: it does
// not exist, is not executable, or its user or directory is missing. Starting
// it again would not help. It wraps the reason (exec.ErrNotFound, fs.ErrNotExist,
// fs.ErrPermission, …).
type StartError struct {
	Command string
	Err     error
}

func (e *StartError) Error() string { return fmt.Sprintf("cannot start %q: %v", e.Command, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }
