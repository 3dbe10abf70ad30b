package recovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/gate"
	file "github.com/ftnet/ftnet/recovery/config"
)

// Defaults of [HostConfig] and [ServiceConfig].
const (
	DefaultQuota         = 64 << 20
	MinQuota             = file.MinQuota
	DefaultDrain         = 5 * time.Second
	DefaultIdle          = time.Second
	DefaultDownAfter     = 10 * time.Second
	DefaultDeadAfter     = 2 * time.Second // where HostConfig.DeadAfter is not to be 0
	DefaultReadyInterval = 100 * time.Millisecond
	DefaultReadyTimeout  = time.Second
)

// ErrQuota is returned for a quota of a connection that is below MinQuota.
var ErrQuota = fmt.Errorf("the least that makes sense is %v", bytesize.Size(MinQuota))

// NoDrain as Drain resets what is still open when the process has ended.
const NoDrain time.Duration = -1

// HostConfig is what all services of an engine share. The zero value is usable.
type HostConfig struct {
	Name       string      // of the engine in the status; may be empty
	RuntimeDir string      // default /run/ftnet
	BPFFS      string      // that the engine's state in the kernel is pinned in; default /sys/fs/bpf
	Mark       fwmark.Mark // of what the engine sends; default no bits
	Interfaces []string    // to protect; default all that carry a service
	MaxConns   int         // default 65536
	// DeadAfter is for how long the gate waits for an engine that has died or got
	// stuck before it lets everything pass (rawio.Config.DeadAfter). 0: for ever.
	DeadAfter time.Duration
	// LogURL names the log, see backend.Parse; default "memory:". LogOptions are
	// for it, but for QuotaTotal, Warn and Info, which Host sets. Log, if not nil, is a
	// log that is open already, and stays open.
	LogURL     string
	LogOptions backend.Options
	Log        logserver.Log
	// Forget begins afresh: what an earlier engine has left is not recovered. Its
	// server processes are ended, connections of this engine's services deleted from
	// the log; their clients get a RST when they speak.
	Forget     bool
	QuotaTotal int64 // bytes that a log of this host may take; default: see backend.Options
	Unmodified bool  // there may be services of ModeUnmodified
	Logger     hclog.Logger
	// Trace, if not nil, is told each rise of a connection's stable number
	// before the gate is (rawio.Config.Trace).
	Trace func(flow rawio.Flow, stable uint32, now int64)

	again again // of tests
}

// ServiceConfig is one server. Name and Command are required, and Listen for
// ModeUnmodified.
type ServiceConfig struct {
	Name string // unique in the engine
	Mode Mode   // default ModeListen
	// Listen are the addresses that the server listens on, HOST:PORT with an IP
	// address or nothing as HOST. A port belongs to one service, whatever the
	// address. A server of ModeListen may not listen on others if this is given.
	Listen []string

	Command []string           // see supervisor.Config.Command
	Env     []string           // see supervisor.Config.Env
	Dir     string             // see supervisor.Config.Dir
	User    string             // see supervisor.Config.User
	Groups  []string           // see supervisor.Config.Groups
	Limits  []supervisor.Limit // see supervisor.Config.Limits
	Stdin   *os.File           // default: /dev/null
	Stdout  *os.File           // default: this process's
	Stderr  *os.File           // default: this process's

	Ready       Readiness
	Restart     RestartPolicy
	StopSignal  syscall.Signal // see supervisor.Config.StopSignal
	StopTimeout time.Duration  // see supervisor.Config.StopTimeout
	Drain       time.Duration  // how long the engine serves open connections after the process ended on request; default 5 s; see NoDrain

	Quota  int64     // bytes logged for one connection, from 64 KiB; default 64 MiB
	OnFull OnFull    // default CloseWindow
	Log    LogPolicy // default LogFull
	// Idle is how long all input of a connection must have been answered, and
	// the answers acknowledged, before LogSinceIdle drops it. Default 1 s.
	Idle    time.Duration
	LogDown LogDown // default DownHold
	// DownAfter is how long nothing of a connection may have become stable before
	// DownUnprotect lets it go on without protection. Default 10 s.
	DownAfter time.Duration
	// Compare is for ModeUnmodified; in ModeListen the server says it. Default
	// CompareStrict.
	Compare Compare

	// Signals to pass on; default: none. The end of Run's context stops the
	// process.
	Signals <-chan os.Signal
}

// RestartPolicy says when to start a server again. The zero value means the
// defaults of supervisor.Config.
type RestartPolicy struct {
	Policy  supervisor.Policy
	Limit   int // see supervisor.Config.RestartLimit
	Window  time.Duration
	Backoff supervisor.Backoff
}

// Probe is how it is found out that a server serves.
type Probe string

const (
	ProbeListening Probe = "listening" // it listens
	ProbeTCP       Probe = "tcp"       // and accepts a connection
	ProbeCommand   Probe = "command"   // and a command says so, by exit status 0
)

// Readiness says when a started server is ready. The connections of an
// unmodified server are recovered then; one that calls ftnet.Listen is asked
// beside the recovery, for Await and the status only.
type Readiness struct {
	Probe   Probe  // default ProbeListening
	Address string // where ProbeTCP connects to; default the first of Listen
	// Command is what ProbeCommand runs, with the service's user, directory and
	// environment. It must not connect to the service's own ports: during an
	// outage the gate holds everybody's connections to them but ProbeTCP's.
	Command  []string
	Interval time.Duration // between two probes; default 100 ms
	Timeout  time.Duration // of one probe; default 1 s
}

func (c HostConfig) withDefaults() HostConfig {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = runtimedir.Default(runtimedir.Base)
	}
	orElse(&c.BPFFS, gate.DefaultBPFFS)
	if c.MaxConns == 0 {
		c.MaxConns = gate.DefaultMaxConns
	}
	c.again.withDefault()
	orElse(&c.LogURL, backend.URL{Kind: backend.Memory}.String())
	return c
}

func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c ServiceConfig) withDefaults() (ServiceConfig, error) {
	if len(c.Command) == 0 {
		return c, errors.New("no command to run")
	}
	orElse(&c.Name, filepath.Base(c.Command[0]))
	orElse(&c.Mode, ModeListen)
	orElse(&c.Quota, DefaultQuota)
	orElse(&c.OnFull, CloseWindow)
	orElse(&c.Log, LogFull)
	orElse(&c.Idle, DefaultIdle)
	orElse(&c.LogDown, DownHold)
	orElse(&c.DownAfter, DefaultDownAfter)
	orElse(&c.Drain, DefaultDrain)
	orElse(&c.Restart.Policy, supervisor.OnCrash)
	orElse(&c.Ready.Probe, ProbeListening)
	orElse(&c.Ready.Interval, DefaultReadyInterval)
	orElse(&c.Ready.Timeout, DefaultReadyTimeout)
	if c.Mode == ModeUnmodified {
		orElse(&c.Compare, CompareStrict)
	}
	c.Drain = max(c.Drain, 0)
	return c, c.validate()
}

func (c *ServiceConfig) validate() error {
	_, merr := ParseMode(string(c.Mode))
	_, ferr := ParseOnFull(string(c.OnFull))
	_, lerr := ParseLogPolicy(string(c.Log))
	_, derr := ParseLogDown(string(c.LogDown))
	_, perr := parse("probe", string(c.Ready.Probe), ProbeListening, ProbeTCP, ProbeCommand)
	if err := errors.Join(merr, ferr, lerr, derr, perr); err != nil {
		return err
	}
	switch {
	case c.Mode == ModeUnmodified && len(c.Listen) == 0:
		return errors.New("an unmodified server needs its listen addresses")
	case c.Mode == ModeListen && c.Compare != "":
		return errors.New("a server that calls ftnet.Listen chooses the comparison itself")
	case c.Mode == ModeListen && c.Log != LogFull:
		return fmt.Errorf("log policy %q is for unmodified servers: one that calls ftnet.Listen is replayed from its first read", c.Log)
	case c.Idle < 0:
		return errors.New("idle time below 0")
	case c.DownAfter < 0:
		return errors.New("time that a connection waits for the log below 0")
	case c.Quota < MinQuota:
		return fmt.Errorf("quota %v: %w", bytesize.Size(c.Quota), ErrQuota)
	case c.Ready.Probe == ProbeCommand && len(c.Ready.Command) == 0:
		return errors.New("readiness: no command to run")
	case c.Ready.Probe == ProbeTCP && c.Ready.Address == "" && len(c.Listen) == 0:
		return errors.New("readiness: no address to connect to")
	}
	if c.Mode == ModeUnmodified {
		if _, err := ParseCompare(string(c.Compare)); err != nil {
			return err
		}
	}
	if a := c.Ready.Address; a != "" {
		if _, err := parseAddress(a); err != nil {
			return fmt.Errorf("readiness: %w", err)
		}
	}
	_, err := parseAddresses(c.Listen)
	return err
}

// supervisor is the part that the supervisor needs.
func (c *ServiceConfig) supervisor(log hclog.Logger) supervisor.Config {
	s := supervisor.Config{
		Command: c.Command, Env: c.Env, Dir: c.Dir, User: c.User, Groups: c.Groups, Limits: c.Limits,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		StopSignal: c.StopSignal, StopTimeout: c.StopTimeout,
		Restart: c.Restart.Policy, RestartLimit: c.Restart.Limit, RestartWindow: c.Restart.Window, Backoff: c.Restart.Backoff,
		Signals: c.Signals, Logger: log,
	}
	if s.Signals == nil {
		s.Signals = make(chan os.Signal)
	}
	return s
}
