package main

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ftnet/ftnet/recovery/config"
)

// keyFlag is a flag that says what a key of the configuration says.
type keyFlag struct{ name, key, usage string }

// logFlags say where the log is.
var logFlags = []keyFlag{
	{"log", "log.url", "where clients' bytes are kept: memory:, file:///DIR or ftlog://HOST:PORT"},
	{"log-key", "log.key-file", "with --log file: `FILE` of the key with which the log is encrypted, or credential:NAME"},
	{"log-ca", "log.tls.ca", "with --log ftlog: `FILE` of the authority that signed the log server's certificate"},
	{"log-cert", "log.tls.cert", "with --log ftlog: `FILE` of the engine's certificate"},
	{"log-tls-key", "log.tls.key", "with --log ftlog: `FILE` of its key"},
	{"log-server-name", "log.tls.server-name", "with --log ftlog: the `NAME` in the log server's certificate (default: the host of --log)"},
}

// define defines flags by their keys.
func define(fs *pflag.FlagSet, keys *config.Flags, list []keyFlag) {
	for _, k := range list {
		v := keys.Flag(k.name, k.key)
		f := fs.VarPF(v, k.name, "", k.usage)
		if v.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// unmodifiedFlag is a switch that says the mode.
type unmodifiedFlag struct{ mode *config.Flag }

func (f unmodifiedFlag) String() string { return "false" }
func (f unmodifiedFlag) Type() string   { return "bool" }

func (f unmodifiedFlag) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return err
	}
	mode := config.ModeListen
	if on {
		mode = config.ModeUnmodified
	}
	return f.mode.Set(string(mode))
}

// wrongFlags is what is wrong with a command line, one in a line.
func wrongFlags(err error) error {
	if errors.As(err, new(*config.FlagError)) {
		return &usageError{err}
	}
	return err
}
