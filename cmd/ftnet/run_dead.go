package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/recovery"
)

// deadOptions are the flags of `ftnet run` for its own death.
type deadOptions struct {
	when  string
	after time.Duration
}

var deadDefaults = deadOptions{when: "hold", after: recovery.DefaultDeadAfter}

func (o *deadOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.when, "when-engine-dead", o.when, "when ftnet is killed or stuck: hold what it would have to judge, or open after --engine-dead-after")
	f.DurationVar(&o.after, "engine-dead-after", o.after, "see --when-engine-dead")
}

// apply checks the flags and puts them into the configuration.
func (o *deadOptions) apply(cfg *recovery.Config) error {
	switch {
	case o.after < gate.MinDeadAfter:
		return fmt.Errorf("--engine-dead-after: must be at least %v", gate.MinDeadAfter)
	case o.when == "open":
		cfg.DeadAfter = o.after
	case o.when != "hold":
		return fmt.Errorf("--when-engine-dead: %q is neither hold nor open", o.when)
	case o.after != deadDefaults.after:
		return errors.New("--engine-dead-after: needs --when-engine-dead open")
	}
	return nil
}
