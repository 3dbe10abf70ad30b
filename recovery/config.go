package recovery

import (
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/config"
)

// HostConfig is what all services of an engine share. See [DefaultHost].
type HostConfig struct {
	Name string // of the engine in the status; may be empty
	// Services are those that are added before Settled: what an engine that was killed has
	// left of them goes on, and what it has left of others is ended. Nothing passes at their
	// ports until it is known what that is.
	Services []config.Service
	// Engine is what the file says of it. RuntimeDir and BPFFS have their defaults
	// where it says nothing.
	config.Engine
	// Log is what the file says of the log. Without Recover what an earlier engine has
	// left is not recovered: its server processes are ended, connections of this
	// engine's services deleted from the log; their clients get a RST when they speak.
	Log        config.Log
	Store      logserver.Log // if not nil: a log that is open already, and stays open, in place of Log
	Unmodified bool          // there may be services of config.ModeUnmodified
	Logger     hclog.Logger  // default: nothing is logged
	// Trace, if not nil, is called for each rise of a connection's stable number, before
	// the gate gets it (rawio.Config.Trace).
	Trace func(flow rawio.Flow, stable uint32, now int64)

	relisten relisten // of tests
}

// DefaultHost returns what a file asks for that says nothing of engine and log.
func DefaultHost() (c HostConfig) {
	c.Log, c.Engine = config.Defaults()
	return c
}

func (c *HostConfig) names() []string {
	f := config.File{Services: c.Services}
	return f.Names()
}

// complete fills in what depends on this machine.
func (c HostConfig) complete() HostConfig {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = runtimedir.Default(runtimedir.Base)
	}
	if c.BPFFS == "" {
		c.BPFFS = rawio.DefaultBPFFS
	}
	c.relisten.withDefault()
	return c
}

// Inherit is what the processes of a service get from ftnet, whatever the service's
// description says.
type Inherit struct {
	Environ        []string // to which the description adds; nil: ftnet's own
	Stdin          *os.File // default: /dev/null
	Stdout, Stderr *os.File // default: ftnet's own
	// Signals to pass on; default: none. The end of Run's context stops the process.
	Signals <-chan os.Signal
}

// environment is that of a process.
func (in *Inherit) environment(more map[string]string) []string {
	own := in.Environ
	if own == nil {
		own = os.Environ()
	}
	env := slices.DeleteFunc(slices.Clone(own), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, replaced := more[name]
		return replaced
	})
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// supervise returns the supervisor's configuration of a service.
func (in *Inherit) supervise(c *config.Service, log hclog.Logger) supervisor.Config {
	s := supervisor.Config{
		Command: c.Argv(), Env: in.environment(c.Env), Dir: c.Dir, User: c.User, Groups: c.Groups,
		Stdin: in.Stdin, Stdout: in.Stdout, Stderr: in.Stderr,
		StopSignal: c.StopSignal, StopTimeout: c.StopTimeout,
		Restart: c.Restart.Policy, RestartLimit: c.Restart.Limit, RestartWindow: c.Restart.Window,
		Backoff: supervisor.Backoff{First: c.Restart.Backoff, Max: c.Restart.BackoffMax},
		Signals: in.Signals, Logger: log,
	}
	for _, name := range config.LimitNames() { // in one order
		if v, ok := c.Limits[name]; ok {
			s.Limits = append(s.Limits, supervisor.Limit{Resource: name, Soft: v.Soft, Hard: v.Hard})
		}
	}
	if s.Signals == nil {
		s.Signals = make(chan os.Signal)
	}
	return s
}

// check judges a service before anything is made of it. A command that cannot be started
// is a *supervisor.StartError.
func (in *Inherit) check(c *config.Service) error {
	if err := c.Check(); err != nil {
		return err
	}
	_, err := supervisor.New(in.supervise(c, hclog.NewNullLogger()), nil)
	return err
}
