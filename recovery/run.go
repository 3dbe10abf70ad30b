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
	cleanStale(cfg)
	s, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	cfg.Supervisor.Command, cfg.Supervisor.User, cfg.Supervisor.Logger = cfg.Command, cfg.User, cfg.Logger
	sup, err := supervisor.New(cfg.Supervisor, s)
	if err == nil {
		err = sup.Run(ctx)
	}
	s.drain(ctx, err)
	return errors.Join(err, s.close())
}

// cleanStale removes what engines that were killed have left.
func cleanStale(cfg Config) {
	if _, err := runtimedir.CleanStale(cfg.RuntimeDir); err != nil {
		cfg.Logger.Warn("directories of dead engines not removed", "error", err)
	}
	alive := func(id string) bool { return runtimedir.Alive(cfg.RuntimeDir, id) }
	removed, err := gate.CleanStale(alive)
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
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	return c, nil
}
