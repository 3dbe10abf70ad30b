package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/daemon"
)

// logdFlags are the flags of `ftnet logd` for keys of its file.
var logdFlags = []keyFlag{
	{"listen", "listen", "listen for engines on this `ADDRESS`, such as :7070; may be repeated"},
	{"store", "store", "where the log is kept: file:///DIR or memory:"},
	{"quota-total", "quota-total", "bytes that the log may take (default: 8GiB, at most half of the disk; in memory a quarter of it)"},
	{"store-key", "key-file", "`FILE` of the key with which the store is encrypted, or credential:NAME"},
	{"tls-ca", "tls.ca", "`FILE` of the authority that signs the engines' certificates"},
	{"tls-cert", "tls.cert", "`FILE` of the log server's certificate"},
	{"tls-key", "tls.key", "`FILE` of its key"},
	{"max-sessions", "max-sessions", "how many engines can be connected at a time"},
	{"expire-after", "expire-after", "forget connections of which nothing was heard for so long (default: never)"},
	{"runtime-dir", "runtime-dir", "where the status socket is (environment: FTNET_RUNTIME_DIR; default: " + runtimedir.Default(runtimedir.LogBase) + ")"},
	{"log-level", "log-level", "trace, debug, info, warn, error or off"},
}

type logdOptions struct {
	config string
	check  bool
	keys   *config.Flags
}

func (o *logdOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "the configuration `FILE`; flags go before it")
	f.BoolVar(&o.check, "check", false, "only check the file and the flags")
	o.keys = config.NewLogdFlags()
	define(f, o.keys, logdFlags)
}

func defaultLogdDir() string {
	if dir := os.Getenv("FTNET_RUNTIME_DIR"); dir != "" {
		return dir
	}
	return runtimedir.Default(runtimedir.LogBase)
}

// load joins flags and file.
func (o *logdOptions) load() (*config.Logd, error) {
	cfg, err := o.keys.Logd(o.config)
	var list config.Diagnostics
	switch {
	case errors.As(err, &list):
		return nil, &daemon.ConfigError{Path: o.config, Diagnostics: list}
	case err != nil:
		return nil, wrongFlags(err)
	}
	if cfg.RuntimeDir == "" {
		cfg.RuntimeDir = defaultLogdDir()
	}
	return cfg, nil
}
