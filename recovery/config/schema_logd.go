package config

import "time"

// logdKeys is the schema of a log server's file.
var logdKeys = []key[Logd]{
	{
		path: "listen", field: func(l *Logd) any { return &l.Listen },
		spec: spec{
			kind: aList, unit: "addresses", needed: true, example: `[":7070"]`, check: checkListen, effect: engine, also: []string{"port", "address", "addresses", "bind"},
			doc: "The addresses on which engines are listened for: `:PORT`, `IPv4:PORT` or `[IPv6]:PORT`. The flag `--listen` goes before it",
		},
	},
	{
		path: "store", field: func(l *Logd) any { return &l.Store },
		spec: spec{
			kind: aString, unit: "URL", needed: true, example: `"file:///var/lib/ftnet-logd"`, check: checkStore, effect: engine, also: []string{"url", "log", "dir", "path", "file", "backend"},
			doc: "Where the log is kept: `file:///DIRECTORY`, or `memory:`, which survives the engines' hosts but not the log server. The flag `--store` goes before it",
		},
	},
	{
		path: "quota-total", field: func(l *Logd) any { return &l.QuotaTotal },
		spec: spec{
			kind: aSize, defText: "a quarter of the memory; on a disk 8 GiB, at most half of it", example: `"100GiB"`, min: 1 << 20, max: largest, effect: engine, also: []string{"quota", "size", "max-size", "total", "limit"},
			doc: "How much the log may take, for the connections of all engines",
		},
	},
	{
		path: "key-file", field: func(l *Logd) any { return &l.KeyFile },
		spec: spec{
			kind: aString, unit: "file", example: `"/etc/ftnet/log.key"`, check: checkKeyFile, effect: engine, also: []string{"key", "encryption", "encryption-key", "encrypt"},
			doc: "With `file:`: the key with which the log is encrypted; without one it is not. 32 bytes, as they are or in hexadecimal or base64, readable by their owner only; `credential:NAME` is the systemd credential of that name",
		},
	},
	{
		path: "tls.ca", field: func(l *Logd) any { return &l.TLS.Authority },
		spec: spec{
			kind: aString, unit: "file", needed: true, example: `"/etc/ftnet/ca.pem"`, check: checkFile, effect: engine, also: []string{"cafile", "ca-file", "authority", "root"},
			doc: "The authorities that may have signed the engines' certificates, in PEM form. `ftnet certs` makes all three. Files that are replaced count from the next connection on, without a restart",
		},
	},
	{
		path: "tls.cert", field: func(l *Logd) any { return &l.TLS.Cert },
		spec: spec{
			kind: aString, unit: "file", needed: true, example: `"/etc/ftnet/server.pem"`, check: checkFile, effect: engine, also: []string{"certificate", "cert-file"},
			doc: "The log server's certificate, with the name or address by which engines call it",
		},
	},
	{
		path: "tls.key", field: func(l *Logd) any { return &l.TLS.Key },
		spec: spec{
			kind: aString, unit: "file", needed: true, example: `"/etc/ftnet/server.key"`, check: checkFile, effect: engine, also: []string{"keyfile", "private-key"},
			doc: "The key of `tls.cert`",
		},
	},
	{
		path: "max-sessions", field: func(l *Logd) any { return &l.MaxSessions },
		spec: spec{
			kind: anInteger, def: "256", min: 1, max: 1 << 16, effect: engine, also: []string{"sessions", "connections", "max-connections", "clients"},
			doc: "How many engines can be connected at a time",
		},
	},
	{
		path: "expire-after", field: func(l *Logd) any { return &l.ExpireAfter },
		spec: spec{
			kind: aDuration, def: `"0s"`, max: int64(10000 * time.Hour), effect: engine, also: []string{"expire", "expiry", "ttl", "idle", "max-age"},
			doc: "When a connection of which nothing was heard for so long is forgotten, as after an engine that never came back. The log server itself must have run for as long without its engine: clocks may be wrong. `0s`: never. It must exceed the longest silence of a connection that lives",
		},
	},
	{
		path: "runtime-dir", field: func(l *Logd) any { return &l.RuntimeDir },
		spec: spec{
			kind: aString, defText: "`$FTNET_RUNTIME_DIR` or `/run/ftnet-logd`; `$XDG_RUNTIME_DIR/ftnet-logd` for a user who may not write there", example: `"/run/ftnet-logd"`, effect: engine, check: checkLogDir, also: []string{"run-dir", "directory"},
			doc: "Where the status socket is; made if it is missing. `ftnet status` looks there by itself if it is the default. The flag `--runtime-dir` goes before it",
		},
	},
	{
		path: "log-level", field: func(l *Logd) any { return &l.LogLevel },
		spec: spec{
			kind: aChoice, def: `"info"`, choices: []string{"trace", "debug", "info", "warn", "error", "off"}, effect: engine, also: []string{"verbosity", "level", "loglevel"},
			doc: "Which of the log server's own messages are written. The flag `--log-level` goes before it",
		},
	},
}
