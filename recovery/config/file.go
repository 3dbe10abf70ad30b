package config

import (
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/logserver/backend"
)

// File is a configuration that has been checked. What the file left out has
// its default.
type File struct {
	Name     string // the file's path, as it was given
	Log      Log
	Engine   Engine
	Services []Service // in the file's order; at least one
}

// Names returns the services' names.
func (f *File) Names() (names []string) {
	for i := range f.Services {
		names = append(names, f.Services[i].Name)
	}
	return names
}

// Service returns the service of that name, or nil.
func (f *File) Service(name string) *Service {
	i := slices.IndexFunc(f.Services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Services[i]
}

// Log is where the clients' bytes are kept. Its files are absolute paths, unless they are
// credentials; without its URL, see backend.Parse.
type Log struct {
	// Where the clients' bytes are kept. `memory:` is the engine's memory: it survives the servers, not the
	// engine. `file:///DIRECTORY` is on a disk of this host: it survives the engine and a loss of power.
	// `ftlog://HOST:PORT` is a log server (`ftnet logd`): it survives the host, too. [What each is
	// for](#where-the-log-is).
	URL string `toml:"log.url" unit:"URL" def:"memory:" effect:"engine" also:"backend path dir file server address"`
	// How much the whole log may take, for the connections of all services. For `memory:` and `file:`; a log
	// server has its own.
	// Default: a quarter of the memory; on a disk 8 GiB, at most half of it.
	QuotaTotal int64 `toml:"log.quota-total" min:"1MiB" example:"4GiB" effect:"engine" also:"quota size max-size total limit"`
	// For `file:` and `ftlog:`: whether the connections that an earlier ftnet has left in the log go on. With
	// `false` ftnet starts afresh: server processes that have outlived it are ended, what the log has of the
	// services' connections is deleted, and their clients get a RST when they speak.
	Recover bool `toml:"log.recover" def:"true" effect:"engine" also:"restore resume takeover take-over adopt"`
	// For `file:`: the key with which the log is encrypted; without one it is not. 32 bytes, as they are or in
	// hexadecimal or base64, readable by their owner only; `credential:NAME` is the systemd credential of that
	// name.
	KeyFile string      `toml:"log.key-file" unit:"file" example:"/etc/ftnet/log.key" effect:"engine" also:"key encryption encryption-key encrypt"`
	TLS     certs.Files // for a log server; absolute
	// For `ftlog:`: the authorities that may have signed the log server's certificate, in PEM form. `ftnet certs`
	// makes all three. Files that are replaced count from the next connection on, without a restart.
	_ string `toml:"log.tls.ca" for:"TLS.Authority" unit:"file" example:"/etc/ftnet/ca.pem" effect:"engine" also:"cafile ca-file authority root"`
	// For `ftlog:`: the engine's certificate. It names the services that the log server lets it log.
	_ string `toml:"log.tls.cert" for:"TLS.Cert" unit:"file" example:"/etc/ftnet/client.pem" effect:"engine" also:"certificate cert-file"`
	// For `ftlog:`: the key of `log.tls.cert`.
	_ string `toml:"log.tls.key" for:"TLS.Key" unit:"file" example:"/etc/ftnet/client.key" effect:"engine" also:"keyfile private-key"`
	// For `ftlog:`: the name that the log server's certificate must have.
	// Default: the host of `log.url`.
	ServerName string `toml:"log.tls.server-name" example:"log.example" effect:"engine" also:"sni hostname"`
}

// Options are what is said of the log, for backend.Open.
func (l *Log) Options(services []string) backend.Options {
	return backend.Options{QuotaTotal: l.QuotaTotal, KeyFile: l.KeyFile, TLS: l.TLS, ServerName: l.ServerName, Services: services}
}

// Engine is what all services share.
type Engine struct {
	// The interfaces on which services are protected that do not name theirs.
	// Default: all that are up, and come up.
	Interfaces []string `toml:"engine.interfaces" example:"eth0" effect:"engine" also:"interface devices nic"`
	// How many connections of all services can be protected at a time.
	MaxConnections int `toml:"engine.max-connections" def:"65536" min:"1" max:"16777216" effect:"engine" also:"connections max-conns maxconn worker-connections"`
	// Where the engine keeps its sockets; made if it is missing. `ftnet status` and the like need the same. The
	// flag `--runtime-dir` goes before it.
	// Default: `$FTNET_RUNTIME_DIR` or `/run/ftnet`; `$XDG_RUNTIME_DIR/ftnet` for a user who may not write there.
	RuntimeDir string `toml:"engine.runtime-dir" example:"/run/ftnet" effect:"engine" also:"run-dir directory"`
	// The BPF file system in which the engine's state in the kernel is pinned, in a directory `ftnet`, so that the
	// next engine can go on if this one is killed. Where none is mounted that takes `CAP_SYS_ADMIN`. `ftnet
	// doctor` needs the same. The flag `--bpffs` goes before it.
	// Default: `/sys/fs/bpf`.
	BPFFS string `toml:"engine.bpffs" example:"/sys/fs/bpf" effect:"engine" also:"bpf bpf-fs bpf-dir pins pin-path pin-dir"`
	// Bits of the firewall mark (`VALUE/MASK`) that what ftnet sends is to have, for rule sets and `ip rule`; the
	// other bits are those of the connection's own packets. The flag of `ftnet run` is `--mark`.
	// Default: no bits.
	Mark fwmark.Mark `toml:"engine.mark" example:"0x10/0xff" effect:"engine" also:"fwmark firewall-mark so-mark"`
	// What happens to connections after ftnet has been killed, or has got stuck. `hold`: nothing leaves the host
	// that ftnet would have to judge, until there is an engine again: nothing is lost, and clients wait. `open`:
	// after `engine.dead-after` everything passes, as if there were no ftnet: clients of a server that has ended
	// are told, connections that go on have no protection any more.
	WhenDead string `toml:"engine.when-dead" choices:"hold open" def:"hold" effect:"engine" also:"dead on-death when-killed on-crash fail"`
	// For how long `open` waits for a sign of life, which the engine gives five times a second.
	DeadAfter time.Duration `toml:"engine.dead-after" def:"2s" min:"500ms" max:"24h" effect:"engine" also:"dead-timeout grace after heartbeat"`
	// Which of ftnet's own messages are written. The flag `--log-level` goes before it.
	LogLevel string `toml:"engine.log-level" choices:"trace debug info warn error off" def:"info" effect:"at once" also:"verbosity level loglevel"`
}

// Values of [Engine.WhenDead].
const (
	DeadHold = "hold" // what an engine would have to judge does not leave
	DeadOpen = "open" // everything passes, unprotected
)

// Patience is for how long the gate waits for an engine that has died or got stuck
// before it lets everything pass; 0: for ever.
func (e *Engine) Patience() time.Duration {
	if e.WhenDead == DeadOpen {
		return e.DeadAfter
	}
	return 0
}
