package supervisor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultStableAfter is the default of Backoff.StableAfter.
const DefaultStableAfter = 250 * time.Millisecond

// NoLimit as Config.RestartLimit lets the process restart any number of times.
const NoLimit = -1

// Policy says after which ends of its own the process is started again. An end
// that was asked for is never followed by a start.
type Policy string

const (
	OnCrash Policy = "on-crash" // after every end but an exit with status 0
	Always  Policy = "always"   // after an exit with status 0, too; it counts against the limit as a crash does
	Never   Policy = "never"    // as OnCrash without any restart
)

// ParsePolicy reads the name of a policy.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(s); p {
	case OnCrash, Always, Never:
		return p, nil
	}
	return "", fmt.Errorf("unknown restart policy %q: want %s, %s or %s", s, OnCrash, Always, Never)
}

// Config says what to run and how to treat it. Command is required. StopTimeout, RestartLimit,
// RestartWindow and the delays of Backoff have no defaults here: those of package
// recovery/config are the only ones.
type Config struct {
	// Command is the program and its arguments. A name without a slash is
	// looked up in PATH.
	Command []string
	// Env is the environment of the child; nil means that of this process.
	// What [Hooks.Starting] returns is added to it.
	Env []string
	// Dir is the working directory of the child; empty means the present one.
	Dir string
	// User is the user that the child runs as: "name", "uid", "name:group" or
	// "uid:gid". Empty means the user of this process.
	User string
	// Groups are the supplementary groups of the child, names or numbers. Nil
	// means those of User's account, or none if User names a group.
	Groups []string
	// Limits are the resource limits of the child; those not named are this
	// process's own. See [Limit].
	Limits []Limit
	// Stdin, Stdout and Stderr are given to the child as they are, without a
	// copying pipe. Nil means those of this process.
	Stdin, Stdout, Stderr *os.File

	// StopSignal asks the child to stop, in place of SIGTERM and SIGINT.
	// Default: the signal that came, SIGTERM where none did.
	StopSignal syscall.Signal
	// StopTimeout is how long the child may take to end after it was asked to
	// stop, before it is killed. 0: it is killed at once.
	StopTimeout time.Duration
	// Restart says when to start again. Default OnCrash.
	Restart Policy
	// RestartLimit is how many restarts may happen within RestartWindow. One
	// more ends the supervision. 0: the first crash does. See also NoLimit.
	RestartLimit int
	// RestartWindow is the window of RestartLimit.
	RestartWindow time.Duration
	// Backoff spaces the restarts.
	Backoff Backoff

	// Survive, if not nil, lets the child outlive this process, should that be
	// killed, and records what the next one needs for [Find]. The caller must ensure
	// that Stdin, Stdout and Stderr do not end with this process. Survive has no effect
	// with a controlling terminal. If the state cannot be recorded before a start, the
	// child is started so that it ends with this process.
	Survive Recorder

	// Belongs, if not nil, reports whether an orphan that carries no mark of
	// its origin belongs to this child, for instance by the files that it has open. It
	// is called after the child's end, in a goroutine of its own; see [Adopt].
	Belongs func(pid int) bool

	// Signals are the signals to act on. Nil means that Run subscribes to
	// them itself; a caller that starts slowly subscribes early (see
	// [Subscribe]) so that no request to stop is lost.
	Signals <-chan os.Signal
	// Logger may be nil.
	Logger hclog.Logger
}

// Backoff is the delay before a restart: none before the first, then First,
// doubled each time up to Max. A process that ran for StableAfter starts again
// without delay.
type Backoff struct {
	First       time.Duration
	Max         time.Duration
	StableAfter time.Duration // default 250 ms
}

func (c Config) withDefaults() Config {
	if c.Backoff.StableAfter <= 0 {
		c.Backoff.StableAfter = DefaultStableAfter
	}
	if c.Restart == "" {
		c.Restart = OnCrash
	}
	if c.Restart == Never {
		c.RestartLimit = 0
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

func (c Config) validate() error {
	if len(c.Command) == 0 || c.Command[0] == "" {
		return errors.New("no command given")
	}
	if c.RestartLimit < NoLimit {
		return fmt.Errorf("restart limit %d", c.RestartLimit)
	}
	if _, err := ParsePolicy(string(c.Restart)); err != nil {
		return err
	}
	if c.Backoff.First > c.Backoff.Max {
		return fmt.Errorf("first backoff %v is above its maximum %v", c.Backoff.First, c.Backoff.Max)
	}
	return nil
}
