package recovery

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/south"
	"github.com/ftnet/ftnet/recovery/supervisor"
)

// OnFull says what happens to a connection whose log cannot take more.
type OnFull string

const (
	CloseWindow OnFull = "close-window" // the client may send no more until the outage is over
	Unprotect   OnFull = "unprotect"    // it goes on without protection
	Reset       OnFull = "reset"        // it is reset
)

// Defaults of [Config].
const (
	DefaultQuota = 64 << 20
	DefaultDrain = 5 * time.Second
)

// NoDrain as [Config.Drain] resets what is still open when the process has
// ended.
const NoDrain time.Duration = -1

// core is the policy as the packet engine knows it.
func (f OnFull) core() south.OnFull {
	switch f {
	case Unprotect:
		return south.Unprotect
	case Reset:
		return south.ResetConn
	}
	return south.CloseWindow
}

// ParseOnFull reads the name of a policy.
func ParseOnFull(s string) (OnFull, error) {
	switch f := OnFull(s); f {
	case CloseWindow, Unprotect, Reset:
		return f, nil
	}
	return "", fmt.Errorf("unknown policy %q: want %s, %s or %s", s, CloseWindow, Unprotect, Reset)
}

// Config is what `ftnet run` needs. Only Command is required.
type Config struct {
	Name       string   // of the service in messages; default: the command's base name
	Command    []string // see supervisor.Config.Command
	User       string   // see supervisor.Config.User
	Quota      int64    // bytes logged for one connection; default 64 MiB
	QuotaTotal int64    // bytes logged for all; default a quarter of the memory
	OnFull     OnFull   // default CloseWindow
	Interfaces []string // to protect; default all that carry the service
	MaxConns   int      // default 65536
	Supervisor supervisor.Config
	Drain      time.Duration // how long the engine serves open connections after the process ended on request; default 5 s; see NoDrain
	RuntimeDir string        // default /run/ftnet
	Logger     hclog.Logger  // default: nothing is logged

	// Trace, if not nil, is told each rise of a connection's stable number
	// before the gate is (rawio.Config.Trace).
	Trace func(flow rawio.Flow, stable uint32, now int64)
}
