package config

import (
	"math"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
)

// File is a configuration that has been checked. What the file left out has
// its default.
type File struct {
	Name     string // the file's path, as it was given
	Log      Log
	Engine   Engine
	Services []Service // in the file's order; at least one
}

// Service returns the service of that name, or nil.
func (f *File) Service(name string) *Service {
	i := slices.IndexFunc(f.Services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Services[i]
}

// Log is where the clients' bytes are kept.
type Log struct {
	URL        string      // see backend.Parse
	Recover    bool        // connections that an earlier ftnet has left in it
	QuotaTotal int64       // bytes for all connections; 0: the backend's default
	KeyFile    string      // see backend.ReadKey; absolute, unless it is a credential; empty: not encrypted
	TLS        certs.Files // for a log server; absolute
	ServerName string      // in the log server's certificate; empty: the host of URL
}

// Engine is what all services share.
type Engine struct {
	Interfaces     []string // empty: all that are up, and come up
	MaxConnections int
	RuntimeDir     string        // "" if the file does not say; otherwise absolute
	BPFFS          string        // "" if the file does not say; otherwise absolute
	Mark           string        // for fwmark.Parse; "": no bits
	LogLevel       string        // trace, debug, info, warn, error or off
	WhenDead       string        // "hold" or "open": what the gate does without an engine
	DeadAfter      time.Duration // how long "open" waits
}

// Values of [Engine.WhenDead].
const (
	DeadHold = "hold" // what an engine would have to judge does not leave
	DeadOpen = "open" // everything passes, unprotected
)

// Mode is how a server is protected.
type Mode string

// Modes of a [Service].
const (
	ModeListen     Mode = "listen"     // it calls ftnet.Listen
	ModeUnmodified Mode = "unmodified" // it is any other binary
)

// Service is one server.
type Service struct {
	Position Position // of its [[service]]

	Name   string // unique in the file; letters, digits, ".", "_", "-"; at most 64 bytes
	Mode   Mode
	Listen []string // "HOST:PORT" with an IP address or nothing as HOST; required for ModeUnmodified

	Command []string          // program and arguments
	Args    []string          // more arguments
	Binary  Binary            // the program that Command names
	Env     map[string]string // added to the environment of ftnet
	Dir     string            // working directory; absolute
	User    string            // "USER" or "USER:GROUP", names or numbers; empty: that of ftnet
	Groups  []string          // supplementary groups, names or numbers; nil: those of the account, or none if User names a group
	Limits  Limits

	Ready       Ready
	Restart     Restart
	StopSignal  syscall.Signal
	StopTimeout time.Duration
	Drain       time.Duration // 0: not at all

	Interfaces []string // as Engine.Interfaces
	Quota      int64    // bytes logged for one connection
	OnFull     string   // "close-window", "unprotect" or "reset"
	Log        LogPolicy
	Compare    string // "strict" or "length"; "" in ModeListen, where the server chooses
}

// Argv returns the program with all its arguments.
func (s *Service) Argv() []string { return slices.Concat(s.Command, s.Args) }

// Addresses returns what Listen says. The address is invalid (the zero
// netip.Addr) where the host was left out, which means all addresses.
func (s *Service) Addresses() []netip.AddrPort {
	list := make([]netip.AddrPort, 0, len(s.Listen))
	for _, text := range s.Listen {
		if a, problem := parseAddress(text); problem == nil {
			list = append(list, a)
		}
	}
	return list
}

// Ports returns the ports of Listen, each once, in ascending order.
func (s *Service) Ports() []uint16 {
	var list []uint16
	for _, a := range s.Addresses() {
		list = append(list, a.Port())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Ready says how it is found out that the service serves.
type Ready struct {
	Probe    string        // "listening", "tcp" or "command"
	Address  string        // where "tcp" connects to; "HOST:PORT"
	Command  []string      // what "command" runs
	Interval time.Duration // between two probes
	Timeout  time.Duration // of one probe
}

// Restart is the restart policy.
type Restart struct {
	Policy     string        // "always", "on-crash" or "never"
	Limit      int           // restarts within Window; -1: any number; 0: none
	Window     time.Duration // of Limit
	Backoff    time.Duration // before the second restart in a row, then doubled
	BackoffMax time.Duration // at most this
}

// LogPolicy says how much of a connection's input is kept.
type LogPolicy struct {
	Keep      string        // "full", "idle" (since the last idle moment) or "off"
	Idle      time.Duration // how long a connection must be idle for "idle"
	WhenDown  string        // "hold" or "unprotect": what happens while nothing becomes stable
	DownAfter time.Duration // how long "unprotect" waits
}

// Values of [LogPolicy.WhenDown].
const (
	DownHold      = "hold"
	DownUnprotect = "unprotect"
)

// Values of [LogPolicy.Keep].
const (
	KeepFull = "full"
	KeepIdle = "idle"
	KeepOff  = "off"
)

// Limits are the resource limits that a service gets, by the names of
// [LimitNames]. What is not in it stays as ftnet's own.
type Limits map[string]Limit

// Limit is one resource limit: bytes, a number, or seconds, see setrlimit(2).
type Limit struct{ Soft, Hard uint64 }

// Unlimited is RLIM_INFINITY.
const Unlimited = math.MaxUint64
