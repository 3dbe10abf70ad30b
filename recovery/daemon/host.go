package daemon

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/sdnotify"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// host is a *recovery.Host, or that of a test.
type host interface {
	OutputDir(service string) string
	Listen(name string) (*net.UnixListener, error)
	GiveUp()
	Settled()
	Works() error
	Close() error
}

// service is a *recovery.Service, or that of a test.
type service interface {
	Run(ctx context.Context) error
	Await(ctx context.Context) (connections int, err error)
	Lost() error
	Standing() (now recovery.Standing, changed <-chan struct{})
	Restart(c *config.Service) error
	Stop(ctx context.Context) error
	Start() error
	Update(c config.Service) error
	Remove() error
}

// adder is Host.Add.
type adder func(config.Service, recovery.Inherit) (service, error)

// hostConfig is the engine that a file asks for. A reload may bring services of any mode.
func hostConfig(f *config.File, log hclog.Logger) recovery.HostConfig {
	return recovery.HostConfig{Log: f.Log, Engine: f.Engine, Services: f.Services, Unmodified: true, Logger: log}
}

// environ is what services get of the daemon's environment: not what is meant for the
// daemon alone.
func environ(own []string) []string {
	return slices.DeleteFunc(slices.Clone(own), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(notify.Variables, name)
	})
}

// inherit is what the processes of a service get that write to the two files.
func inherit(stdout, stderr *os.File) recovery.Inherit {
	return recovery.Inherit{Environ: environ(os.Environ()), Stdout: stdout, Stderr: stderr}
}

// await returns when the service serves. Connections that were reset where they should
// have been recovered are an error then.
func await(ctx context.Context, s service) (connections int, err error) {
	if connections, err = s.Await(ctx); err == nil {
		err = s.Lost()
	}
	return connections, err
}
