package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
)

// recoverOptions is the flag of `ftnet run` for what an earlier engine has left.
type recoverOptions struct {
	yes  bool
	flag *pflag.Flag
}

var recoverDefaults = recoverOptions{yes: true}

func (o *recoverOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.yes, "recover", o.yes, "with --log file: or ftlog: recover the connections that an earlier ftnet has left in the log; with =false delete them")
	o.flag = f.Lookup("recover")
}

// apply checks the flag and puts it into the configuration, which knows the log.
func (o *recoverOptions) apply(cfg *recovery.Config) error {
	if o.flag != nil && o.flag.Changed && cfg.LogURL == (backend.URL{Kind: backend.Memory}).String() {
		return errors.New("--recover is for --log file: and ftlog: only: nothing outlives ftnet in its memory")
	}
	cfg.Forget = !o.yes
	return nil
}
