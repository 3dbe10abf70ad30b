package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/daemon"
)

type logdOptions struct {
	config, runtimeDir string
	check              bool
	file               config.Logd // what the flags say
	quotaTotal         bytesize.Size
}

func (o *logdOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "the configuration `FILE`; flags go before it")
	f.BoolVar(&o.check, "check", false, "only check the file and the flags")
	f.StringArrayVar(&o.file.Listen, "listen", nil, "listen for engines on this `ADDRESS`, such as :7070; may be repeated")
	f.StringVar(&o.file.Store, "store", "", "where the log is kept: file:///DIR or memory:")
	f.Var(&o.quotaTotal, "quota-total", "bytes that the log may take (default: 8GiB, at most half of the disk; in memory a quarter of it)")
	f.StringVar(&o.file.KeyFile, "store-key", "", "`FILE` of the key with which the store is encrypted, or credential:NAME")
	f.StringVar(&o.file.TLS.Authority, "tls-ca", "", "`FILE` of the authority that signs the engines' certificates")
	f.StringVar(&o.file.TLS.Cert, "tls-cert", "", "`FILE` of the log server's certificate")
	f.StringVar(&o.file.TLS.Key, "tls-key", "", "`FILE` of its key")
	f.IntVar(&o.file.MaxSessions, "max-sessions", 256, "how many engines can be connected at a time")
	f.DurationVar(&o.file.ExpireAfter, "expire-after", 0, "forget connections of which nothing was heard for so long (default: never)")
	f.StringVar(&o.file.LogLevel, "log-level", "info", "trace, debug, info, warn, error or off")
	f.StringVar(&o.runtimeDir, "runtime-dir", defaultLogdDir(), "where the status socket is (environment: FTNET_RUNTIME_DIR)")
	f.Lookup("quota-total").DefValue = ""
	f.Lookup("expire-after").DefValue = ""
}

func defaultLogdDir() string {
	if dir := os.Getenv("FTNET_RUNTIME_DIR"); dir != "" {
		return dir
	}
	return runtimedir.Default(runtimedir.LogBase)
}

// logdFlag is a flag that takes the place of a key.
type logdFlag struct {
	key, flag string
	value     func(*config.Logd) any       // as TOML has it
	set       func(dst, from *config.Logd) // in dst what from says
}

var logdFlags = []logdFlag{
	{"listen", "listen", func(l *config.Logd) any { return l.Listen }, func(d, f *config.Logd) { d.Listen = f.Listen }},
	{"store", "store", func(l *config.Logd) any { return l.Store }, func(d, f *config.Logd) { d.Store = f.Store }},
	{"quota-total", "quota-total", func(l *config.Logd) any { return l.QuotaTotal }, func(d, f *config.Logd) { d.QuotaTotal = f.QuotaTotal }},
	{"key-file", "store-key", func(l *config.Logd) any { return l.KeyFile }, func(d, f *config.Logd) { d.KeyFile = f.KeyFile }},
	{"tls.ca", "tls-ca", func(l *config.Logd) any { return l.TLS.Authority }, func(d, f *config.Logd) { d.TLS.Authority = f.TLS.Authority }},
	{"tls.cert", "tls-cert", func(l *config.Logd) any { return l.TLS.Cert }, func(d, f *config.Logd) { d.TLS.Cert = f.TLS.Cert }},
	{"tls.key", "tls-key", func(l *config.Logd) any { return l.TLS.Key }, func(d, f *config.Logd) { d.TLS.Key = f.TLS.Key }},
	{"max-sessions", "max-sessions", func(l *config.Logd) any { return l.MaxSessions }, func(d, f *config.Logd) { d.MaxSessions = f.MaxSessions }},
	{"expire-after", "expire-after", func(l *config.Logd) any { return l.ExpireAfter.String() }, func(d, f *config.Logd) { d.ExpireAfter = f.ExpireAfter }},
	{"runtime-dir", "runtime-dir", func(l *config.Logd) any { return l.RuntimeDir }, func(d, f *config.Logd) { d.RuntimeDir = f.RuntimeDir }},
	{"log-level", "log-level", func(l *config.Logd) any { return l.LogLevel }, func(d, f *config.Logd) { d.LogLevel = f.LogLevel }},
}

// load joins flags and file. Flags are judged as a file that says the same.
func (o *logdOptions) load(cmd *cobra.Command) (*config.Logd, error) {
	o.file.QuotaTotal, o.file.RuntimeDir = int64(o.quotaTotal), o.runtimeDir
	var given, all []string
	top, tls := map[string]any{}, map[string]any{}
	for _, f := range logdFlags {
		all = append(all, f.key)
		if !cmd.Flags().Changed(f.flag) {
			continue
		}
		given = append(given, f.key)
		if name, ok := strings.CutPrefix(f.key, "tls."); ok {
			tls[name], top["tls"] = f.value(&o.file), tls
		} else {
			top[f.key] = f.value(&o.file)
		}
	}
	text, err := toml.Marshal(top)
	if err != nil {
		return nil, err
	}
	if o.config == "" {
		all = nil // what is required must be a flag
	}
	fromFlags, err := config.ParseLogd("flags", text, config.Host(), all...)
	if err != nil {
		return nil, &usageError{flagError(err)}
	}
	if o.config == "" {
		if fromFlags.RuntimeDir == "" {
			fromFlags.RuntimeDir = o.runtimeDir
		}
		return fromFlags, nil
	}
	cfg, err := config.LoadLogd(o.config, given...)
	var list config.Diagnostics
	if errors.As(err, &list) {
		return nil, &daemon.ConfigError{Path: o.config, Diagnostics: list}
	} else if err != nil {
		return nil, err
	}
	for _, f := range logdFlags {
		if cmd.Flags().Changed(f.flag) {
			f.set(cfg, fromFlags)
		}
	}
	if cfg.RuntimeDir == "" {
		cfg.RuntimeDir = o.runtimeDir
	}
	return cfg, nil
}

// flagError says of the first flag that is wrong what is said of its key.
func flagError(err error) error {
	var list config.Diagnostics
	if !errors.As(err, &list) {
		return err
	}
	d := list[0]
	for _, f := range logdFlags {
		if f.key != d.Key {
			continue
		}
		if strings.HasSuffix(d.Message, " is missing") {
			return fmt.Errorf("--%s is required, or --config FILE", f.flag)
		}
		text := strings.TrimPrefix(d.Message, f.key+": ")
		if d.Suggestion != "" {
			text += " (" + d.Suggestion + ")"
		}
		return fmt.Errorf("--%s: %s", f.flag, text)
	}
	return errors.New(d.Message)
}
