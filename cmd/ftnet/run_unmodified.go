package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/recovery"
)

// unmodifiedOptions are the flags of `ftnet run` for a server that does not call
// ftnet.Listen, and where it listens.
type unmodifiedOptions struct {
	on        bool
	listen    []string
	compare   string
	logPolicy string
	logIdle   time.Duration
}

var unmodifiedDefaults = unmodifiedOptions{
	compare: string(recovery.CompareStrict), logPolicy: string(recovery.LogFull), logIdle: recovery.DefaultIdle,
}

func (o *unmodifiedOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "unmodified", o.on, "COMMAND does not call ftnet.Listen; --listen is required")
	f.StringArrayVar(&o.listen, "listen", o.listen, "COMMAND listens on this `ADDRESS`, such as :7000; may be repeated")
	f.StringVar(&o.compare, "compare", o.compare, "with --unmodified: compare repeated output: strict, or length only")
	f.StringVar(&o.logPolicy, "log-policy", o.logPolicy, "with --unmodified: keep what clients send: full, idle or off")
	f.DurationVar(&o.logIdle, "log-idle", o.logIdle, "how long a connection must be idle for --log-policy idle")
}

// apply checks the flags and puts them into the configuration.
func (o *unmodifiedOptions) apply(cfg *recovery.Config) error {
	for _, a := range o.listen {
		if err := checkAddress(a); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
	}
	cfg.Mode, cfg.Listen = recovery.ModeListen, o.listen
	if !o.on {
		if o.compare != unmodifiedDefaults.compare {
			return errors.New("--compare: needs --unmodified; else the server says it (ftnet.ListenConfig.Compare)")
		}
		if o.logPolicy != unmodifiedDefaults.logPolicy || o.logIdle != unmodifiedDefaults.logIdle {
			return errors.New("--log-policy, --log-idle: need --unmodified; a server that calls ftnet.Listen is replayed from its first read")
		}
		return nil
	}
	var err error
	cfg.Mode, cfg.Idle = recovery.ModeUnmodified, o.logIdle
	if cfg.Compare, err = recovery.ParseCompare(o.compare); err != nil {
		return fmt.Errorf("--compare: %w", err)
	}
	if cfg.Log, err = recovery.ParseLogPolicy(o.logPolicy); err != nil {
		return fmt.Errorf("--log-policy: %w", err)
	}
	switch {
	case len(o.listen) == 0:
		return errors.New("--unmodified: where does COMMAND listen? Add --listen ADDRESS")
	case o.logIdle <= 0:
		return errors.New("--log-idle: must be above 0")
	}
	return nil
}

// checkAddress wants HOST:PORT with an IP address or nothing as HOST.
func checkAddress(s string) error {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q: want HOST:PORT or :PORT", s)
	}
	if port, err := strconv.ParseUint(service, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("%q: the port must be a number from 1 to 65535", s)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return fmt.Errorf("%q: the host must be an IP address or left out", s)
	}
	return nil
}
