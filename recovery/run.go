package recovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/recovery/supervisor"
)

// Run runs the service until it ends: it opens an engine with a memory log,
// supervises the command, and recovers its connections after each crash. The
// end of ctx asks the command to stop. The result is that of
// supervisor.Supervisor.Run, or says why the engine could not be opened.
// However Run ends, nothing of the engine stays behind.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	s := newService(cfg)
	// A mistyped command is told before the kernel is asked for anything.
	sup, err := supervisor.New(cfg.Supervisor, s)
	if err != nil {
		return err
	}
	cleanStale(cfg)
	if err := s.open(); err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	err = sup.Run(ctx)
	s.drain(ctx, err)
	return errors.Join(err, s.close())
}

// cleanStale removes what engines that were killed have left.
func cleanStale(cfg Config) {
	if _, err := runtimedir.CleanStale(cfg.RuntimeDir); err != nil {
		cfg.Logger.Warn("directories of dead engines not removed", "error", err)
	}
	removed, err := gate.CleanStale(runtimedir.Living)
	if err != nil {
		cfg.Logger.Warn("filters of dead engines not removed", "error", err)
	}
	if len(removed) > 0 {
		cfg.Logger.Info("removed what dead engines had left", "filters", removed)
	}
}

// withDefaults checks the configuration and fills what was left out.
func (c Config) withDefaults() (Config, error) {
	if len(c.Command) == 0 {
		return c, errors.New("no command to run")
	}
	if c.Name == "" {
		c.Name = filepath.Base(c.Command[0])
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = runtimedir.Base
	}
	if c.Quota == 0 {
		c.Quota = DefaultQuota
	}
	if c.QuotaTotal == 0 {
		total, err := bytesize.TotalMemory()
		if err != nil {
			return c, fmt.Errorf("default of the total quota: %w", err)
		}
		c.QuotaTotal = int64(total / 4)
	}
	if c.OnFull == "" {
		c.OnFull = CloseWindow
	}
	if c.MaxConns == 0 {
		c.MaxConns = gate.DefaultMaxConns
	}
	switch {
	case c.Drain == 0:
		c.Drain = DefaultDrain
	case c.Drain < 0:
		c.Drain = 0
	}
	c.Supervisor.Command, c.Supervisor.User, c.Supervisor.Logger = c.Command, c.User, c.Logger
	return c, nil
}
