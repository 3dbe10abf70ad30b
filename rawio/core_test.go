package rawio

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// newCore returns a core for one connection.
func newCore(v *environment, log logserver.Log) *south.Machine {
	cfg := v.core()
	cfg.Strict, cfg.Log, cfg.MaxConns = true, log, 1
	return south.New(cfg)
}
