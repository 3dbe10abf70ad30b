package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// engine is a recovery.Host as the daemon sees it.
type engine struct{ *recovery.Host }

var _ host = engine{}

// openHost opens the engine that a file asks for.
func openHost(f *config.File, log hclog.Logger) (host, error) {
	var deadAfter time.Duration
	if f.Engine.WhenDead == config.DeadOpen {
		deadAfter = f.Engine.DeadAfter
	}
	var mark fwmark.Mark
	if f.Engine.Mark != "" {
		if err := mark.Set(f.Engine.Mark); err != nil {
			return nil, err // cannot be: the file was checked
		}
	}
	h, err := recovery.OpenHost(recovery.HostConfig{
		RuntimeDir: f.Engine.RuntimeDir, BPFFS: f.Engine.BPFFS, Mark: mark, Interfaces: f.Engine.Interfaces, MaxConns: f.Engine.MaxConnections, DeadAfter: deadAfter,
		LogURL: f.Log.URL, LogOptions: logOptions(f), Forget: !f.Log.Recover,
		QuotaTotal: f.Log.QuotaTotal, Unmodified: true, Logger: log, // a reload may bring some
	})
	if err != nil {
		return nil, err
	}
	return engine{h}, nil
}

func (e engine) add(c config.Service, stdout, stderr *os.File) (service, error) {
	s, err := e.Add(serviceConfig(&c, stdout, stderr))
	if err != nil {
		return nil, err
	}
	return &supervised{svc: s, host: e.Host, stdout: stdout, stderr: stderr}, nil
}

func (e engine) listen(name string) (*net.UnixListener, error) { return e.Listen(name) }
func (e engine) outputDir(service string) string               { return e.OutputDir(service) }
func (e engine) settled()                                      { e.Settled() }
func (e engine) giveUp()                                       { e.GiveUp() }
func (e engine) works() error                                  { return e.Works() }
func (e engine) close() error                                  { return e.Close() }

// supervised is a recovery.Service as the daemon sees it.
type supervised struct {
	svc            *recovery.Service
	host           *recovery.Host
	stdout, stderr *os.File
	halted         atomic.Bool // by stop
}

// beginPoll is how often await looks whether run has begun.
const beginPoll = time.Millisecond

func (s *supervised) run(ctx context.Context) error { return s.svc.Run(ctx) }
func (s *supervised) remove() error                 { return s.host.Remove(s.svc) }

// await may be called before run has come to begin, which takes a moment: the
// service still counts as stopped then.
func (s *supervised) await(ctx context.Context) (int, error) {
	for {
		n, err := s.svc.Await(ctx)
		if err == nil {
			err = s.svc.Lost()
		}
		if !errors.Is(err, recovery.ErrStopped) || s.halted.Load() {
			return n, err
		}
		select {
		case <-time.After(beginPoll):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (s *supervised) stop(ctx context.Context) error {
	s.halted.Store(true)
	return s.svc.Stop(ctx)
}

func (s *supervised) start() error {
	s.halted.Store(false)
	return s.svc.Start()
}

func (s *supervised) restart(c *config.Service) error {
	if c == nil {
		return s.svc.Restart(nil)
	}
	cfg := serviceConfig(c, s.stdout, s.stderr)
	return s.svc.Restart(&cfg)
}

func (s *supervised) update(c config.Service) error {
	return s.svc.Update(serviceConfig(&c, s.stdout, s.stderr))
}
