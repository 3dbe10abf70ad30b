package config

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// Mode is how a server is protected.
type Mode string

// Modes of a [Service].
const (
	// ModeListen is for a server that calls ftnet.Listen: its reads and writes are
	// recorded in a journal and replayed one by one.
	ModeListen Mode = "listen"
	// ModeUnmodified is for any other: the engine plays the client against the
	// restarted server, on the wire.
	ModeUnmodified Mode = "unmodified"
)

// Service is the one description of a service: of the file, the flags of `ftnet run`
// and package recovery.
type Service struct {
	Position Position // of its [[service]]

	// The service in messages and commands: `ftnet restart NAME`. Letters, digits, `.`, `_` and `-`, at most 64;
	// unique.
	Name string `toml:"name" def:"required" example:"web" effect:"renew" also:"id description"`
	// `listen`: the server calls `ftnet.Listen`. `unmodified`: any other binary.
	Mode Mode `toml:"mode" choices:"listen unmodified" def:"required" effect:"renew" also:"type kind"`
	// The addresses that the server listens on: `:PORT`, `IPv4:PORT` or `[IPv6]:PORT`. Required for `unmodified`.
	// A server of mode `listen` may not listen on others, if this is given. A port belongs to one service,
	// whatever the address.
	Listen []string `toml:"listen" unit:"addresses" example:":7000" effect:"restart" also:"port ports address addresses bind listen-stream"`
	// Program and arguments; no shell. A name without a slash is looked up in ftnet's `PATH`, a relative path
	// begins at `dir`. It must stay in the foreground. When the program's file was replaced, a reload counts that
	// as a change.
	Command []string `toml:"command" def:"required" example:"./server -v" effect:"restart" also:"cmd exec exec-start program run entrypoint"`
	// More arguments, after those of `command`.
	Args   []string `toml:"args" example:"-v" effect:"restart" also:"arguments argv options"`
	Binary Binary   // the program that Command names
	// Variables that are added to ftnet's environment or replace one there.
	Env map[string]string `toml:"env" example:"LANG=C" effect:"restart" also:"environment environ variables"`
	// The working directory. A relative path begins at the directory of the file.
	// Default: the directory of the file.
	Dir string `toml:"dir" example:"/srv/web" effect:"restart" also:"directory cwd chdir workdir working-dir working-directory root"`
	// Whom the server runs as: `USER` or `USER:GROUP`, names or numbers. The engine keeps its privileges.
	// Default: that of ftnet.
	User string `toml:"user" example:"www-data" effect:"restart" also:"uid group gid run-as account"`
	// Supplementary groups, in place of those that the user is in; names or numbers. `[]` for none.
	// Default: those that the user is in; none if `user` names a group.
	Groups  []string `toml:"groups" example:"ssl-cert" effect:"restart" also:"supplementary-groups supplementarygroups"`
	Ready   Ready
	Restart Restart
	// What asks the server to stop: `ABRT`, `HUP`, `INT`, `KILL`, `QUIT`, `TERM`, `USR1`, `USR2` or `WINCH`, with
	// or without `SIG`. nginx ends its connections properly on `QUIT` only.
	StopSignal syscall.Signal `toml:"stop.signal" def:"TERM" effect:"at once" also:"stop-signal kill-signal kill"`
	// When it has not stopped by then, it is killed.
	StopTimeout time.Duration `toml:"stop.timeout" def:"10s" min:"1ms" max:"24h" effect:"at once" also:"stop-timeout timeout-stop-sec grace grace-period"`
	// How long closing connections are served after the server has stopped; then they are reset. `0s`: not at all.
	Drain time.Duration `toml:"drain" def:"5s" max:"24h" effect:"at once" also:"drain-timeout linger"`
	// The interfaces on which the service is protected. The engine has one set of interfaces for all its services:
	// they must agree.
	// Default: those of `engine.interfaces`.
	Interfaces []string `toml:"interfaces" example:"eth0" effect:"engine" also:"interface device nic bind-to-device"`
	// How much of a client's data is kept for one connection. A change counts for new connections.
	Quota int64 `toml:"quota" def:"64MiB" min:"64KiB" effect:"at once" also:"log-quota log-size max-log memory"`
	// What happens to a connection at the end of its quota: `close-window`: the client can send no more;
	// `unprotect`: it goes on, its next crash ends it; `reset`: the client gets a RST.
	OnFull policy.OnFull `toml:"on-full" def:"close-window" effect:"at once" also:"full when-full on-quota overflow"`
	Log    LogPolicy
	// How the restarted server's output is compared with what the client has: `strict`: byte by byte; `length`:
	// only how much it is, for replies that differ in details of equal length, such as nginx's `Date` header. For
	// `unmodified` only; with mode `listen` the server chooses (`ftnet.ListenConfig.Compare`).
	Compare policy.Compare `toml:"compare" def:"strict" effect:"at once" also:"verify check"`
	Limits  Limits         `toml:"limits" effect:"restart"`
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

// Probe is how it is found out that a server serves.
type Probe string

// Probes of [Ready].
const (
	ProbeListening Probe = "listening" // it listens
	ProbeTCP       Probe = "tcp"       // and accepts a connection
	ProbeCommand   Probe = "command"   // and a command says so, by exit status 0
)

// Ready says how it is found out that the service serves.
type Ready struct {
	// Short for `ready.probe`.
	// Default: `"listening"`.
	_ Probe `toml:"ready" for:"Probe" choices:"listening tcp command" effect:"at once"`
	// When a started server counts as ready, so that its connections are recovered. `listening`: when it listens
	// on its addresses; without `listen` those that it asks for, and for 5 seconds after its last listener has
	// come those at which clients of the process before wait. `tcp`: when it listens and a connection to
	// `ready.address` is accepted. `command`: when it listens and `ready.command` ends with status 0. A server of
	// mode `listen` has its connections as soon as it listens, whatever the probe says.
	Probe Probe `toml:"ready.probe" choices:"listening tcp command" def:"listening" effect:"at once" also:"type check healthcheck readiness readiness-probe"`
	// Where the probe `tcp` connects to.
	// Default: the first of `listen`.
	Address string `toml:"ready.address" unit:"address" example:"127.0.0.1:8080" effect:"at once" also:"port tcp"`
	// What the probe `command` runs, with the service's user, directory and environment. It cannot ask the
	// service's own ports: during an outage they answer the probe `tcp` only.
	Command []string `toml:"ready.command" example:"/usr/local/bin/is-web-up" effect:"at once" also:"exec cmd"`
	// The time between two probes.
	Interval time.Duration `toml:"ready.interval" def:"100ms" min:"1ms" max:"24h" effect:"at once" also:"period every"`
	// How long one probe may take. A probe that takes longer has failed and is repeated.
	Timeout time.Duration `toml:"ready.timeout" def:"1s" min:"1ms" max:"24h" effect:"at once" also:"time-out"`
}

// Restart is the restart policy. The default budget lets a server that is killed every second
// go on, while one that crashes at once on every start uses it up in about ten seconds: with the
// default delays it restarts 7 times in the first 0.63 s and twice a second from then on.
type Restart struct {
	// Short for `restart.policy`.
	// Default: `"on-crash"`.
	_ supervisor.Policy `toml:"restart" for:"Policy" choices:"always on-crash never" effect:"at once" also:"restart-policy"`
	// When the server is started again after its process has ended: `on-crash`: unless it ended with status 0;
	// `always`: then, too; `never`.
	Policy supervisor.Policy `toml:"restart.policy" choices:"always on-crash never" def:"on-crash" effect:"at once" also:"when"`
	// How many restarts may happen within `restart.window`; one more ends the service. `-1`: any number; `0`:
	// none.
	Limit int `toml:"restart.limit" def:"25" min:"-1" max:"1048576" effect:"at once" also:"burst max count retries max-retries restart-limit start-limit-burst"`
	// The window of `restart.limit`.
	Window time.Duration `toml:"restart.window" def:"20s" min:"1ms" max:"24h" effect:"at once" also:"restart-window start-limit-interval period"`
	// The delay before the second restart in a row, doubled for each one after that. The first one has no delay.
	Backoff time.Duration `toml:"restart.backoff" def:"10ms" min:"1ms" max:"24h" effect:"at once" also:"delay restart-sec"`
	// The longest delay.
	BackoffMax time.Duration `toml:"restart.backoff-max" def:"500ms" min:"1ms" max:"24h" effect:"at once" also:"max-delay max-backoff"`
}

// LogPolicy says how much of a connection's input is kept.
type LogPolicy struct {
	// How much of a connection's input is kept to be replayed: all of it (`full`), none (`off`), or that since the
	// connection was last idle (`log.since`). [Each has its risk](#how-much-is-kept). A change counts for new
	// connections.
	Keep policy.Log `toml:"log" choices:"full off" def:"full" effect:"at once" also:"policy logging log-policy"`
	// `idle`: what came before the last moment at which all input was answered and acknowledged for `log.idle` is
	// dropped. For `unmodified` only, and [only for servers without state in a connection](#how-much-is-kept).
	_ policy.Log `toml:"log.since" for:"Keep" choices:"idle" example:"idle" effect:"at once" also:"from keep"`
	// How long a connection must be idle. It must exceed the longest pause within a reply.
	Idle time.Duration `toml:"log.idle" def:"1s" min:"1ms" max:"24h" effect:"at once" also:"idle-time time timeout"`
	// What happens to connections while the log makes nothing stable, because the log server cannot be reached or
	// the disk has failed. `hold`: nothing is acknowledged until it does; clients are slowed down by the window,
	// and nothing is lost. `unprotect`: after `log.down-after` they go on without protection.
	WhenDown policy.LogDown `toml:"log.when-down" def:"hold" effect:"at once" also:"down on-down unreachable when-unreachable on-failure"`
	// How long something of a connection may wait for the log before `unprotect` lets it go on.
	DownAfter time.Duration `toml:"log.down-after" def:"10s" min:"1ms" max:"24h" effect:"at once" also:"down-timeout after grace"`
}

// Limits are the resource limits that a service gets, by the names of
// [LimitNames]. What is not in it stays as ftnet's own.
type Limits map[string]Limit

// Limit is one resource limit: bytes, a number, or seconds, see setrlimit(2).
type Limit struct{ Soft, Hard uint64 }

// String returns "SOFT:HARD".
func (l Limit) String() string {
	text := func(n uint64) string {
		if n == Unlimited {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	return text(l.Soft) + ":" + text(l.Hard)
}

// Unlimited is RLIM_INFINITY.
const Unlimited = math.MaxUint64
