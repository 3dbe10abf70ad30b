package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
)

// logOptions are the flags of `ftnet run` and `ftnet doctor` that say where the
// log is.
type logOptions struct {
	url, keyFile, serverName string
	tls                      certs.Files
}

var logDefaults = logOptions{url: "memory:"}

// downOptions are the flags of `ftnet run` for a log that takes nothing.
type downOptions struct {
	when  string
	after time.Duration
}

var downDefaults = downOptions{when: string(recovery.DownHold), after: recovery.DefaultDownAfter}

func (o *downOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.when, "when-log-down", o.when, "while the log takes nothing: hold, or unprotect connections after --log-down-after")
	f.DurationVar(&o.after, "log-down-after", o.after, "see --when-log-down")
}

// apply checks the flags and puts them into the configuration.
func (o *downOptions) apply(cfg *recovery.Config) (err error) {
	if cfg.LogDown, err = recovery.ParseLogDown(o.when); err != nil {
		return fmt.Errorf("--when-log-down: %w", err)
	}
	switch {
	case o.after <= 0:
		return errors.New("--log-down-after: must be above 0")
	case o.after != downDefaults.after && cfg.LogDown != recovery.DownUnprotect:
		return errors.New("--log-down-after: needs --when-log-down unprotect")
	}
	cfg.DownAfter = o.after
	return nil
}

func (o *logOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "log", o.url, "where clients' bytes are kept: memory:, file:///DIR or ftlog://HOST:PORT")
	f.StringVar(&o.keyFile, "log-key", o.keyFile, "with --log file: `FILE` of the key with which the log is encrypted, or credential:NAME")
	f.StringVar(&o.tls.Authority, "log-ca", "", "with --log ftlog: `FILE` of the authority that signed the log server's certificate")
	f.StringVar(&o.tls.Cert, "log-cert", "", "with --log ftlog: `FILE` of the engine's certificate")
	f.StringVar(&o.tls.Key, "log-tls-key", "", "with --log ftlog: `FILE` of its key")
	f.StringVar(&o.serverName, "log-server-name", "", "with --log ftlog: the `NAME` in the log server's certificate (default: the host of --log)")
}

// check says what is wrong with the flags, by their names.
func (o *logOptions) check() (backend.URL, error) {
	u, err := backend.Parse(o.url)
	if err != nil {
		return u, fmt.Errorf("--log: %w", err)
	}
	type flag struct{ name, value string }
	files := []flag{{"--log-ca", o.tls.Authority}, {"--log-cert", o.tls.Cert}, {"--log-tls-key", o.tls.Key}}
	if u.Kind == backend.Remote {
		for _, f := range files {
			if f.value == "" {
				return u, fmt.Errorf("%s is required with --log %s (ftnet certs makes the files)", f.name, u)
			}
		}
	} else {
		for _, f := range append(files, flag{"--log-server-name", o.serverName}) {
			if f.value != "" {
				return u, fmt.Errorf("%s is for --log ftlog://HOST:PORT only", f.name)
			}
		}
	}
	if o.keyFile != "" && u.Kind != backend.Disk {
		return u, errors.New("--log-key is for --log file:///DIR only")
	}
	return u, nil
}

func (o *logOptions) options() backend.Options {
	return backend.Options{KeyFile: o.keyFile, TLS: o.tls, ServerName: o.serverName}
}

// apply checks the flags and puts them into the configuration.
func (o *logOptions) apply(cfg *recovery.Config, quotaTotal bytesize.Size) error {
	u, err := o.check()
	switch {
	case err != nil:
		return err
	case u.Kind == backend.Remote && quotaTotal != 0:
		return errors.New("--quota-total is for --log memory: and file: only; a log server has its own (ftnet logd --quota-total)")
	}
	cfg.LogURL, cfg.LogOptions = u.String(), o.options()
	return nil
}
