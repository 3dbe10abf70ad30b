package config

import "time"

// fileKeys is the schema of what stands outside [[service]].
var fileKeys = []key[File]{
	{
		path: "log.url", field: func(f *File) any { return &f.Log.URL },
		spec: spec{
			kind: aString, unit: "URL", def: `"memory:"`, effect: engine, check: checkURL, also: []string{"backend", "path", "dir", "file", "server", "address"},
			doc: "Where the clients' bytes are kept. `memory:` is the engine's memory: it survives the servers, not the engine. `file:///DIRECTORY` is on a disk of this host: it survives the engine and a loss of power. `ftlog://HOST:PORT` is a log server (`ftnet logd`): it survives the host, too. [What each is for](#where-the-log-is)",
		},
	},
	{
		path: "log.quota-total", field: func(f *File) any { return &f.Log.QuotaTotal },
		spec: spec{
			kind: aSize, defText: "a quarter of the memory; on a disk 8 GiB, at most half of it", example: `"4GiB"`, min: 1 << 20, max: largest, effect: engine, also: []string{"quota", "size", "max-size", "total", "limit"},
			doc: "How much the whole log may take, for the connections of all services. For `memory:` and `file:`; a log server has its own",
		},
	},
	{
		path: "log.recover", field: func(f *File) any { return &f.Log.Recover },
		spec: spec{
			kind: aBoolean, def: "true", effect: engine, also: []string{"restore", "resume", "takeover", "take-over", "adopt"},
			doc: "For `file:` and `ftlog:`: whether the connections that an earlier ftnet has left in the log go on. With `false` ftnet starts afresh: server processes that have outlived it are ended, what the log has of the services' connections is deleted, and their clients get a RST when they speak",
		},
	},
	{
		path: "log.key-file", field: func(f *File) any { return &f.Log.KeyFile },
		spec: spec{
			kind: aString, unit: "file", example: `"/etc/ftnet/log.key"`, effect: engine, check: checkKeyFile, also: []string{"key", "encryption", "encryption-key", "encrypt"},
			doc: "For `file:`: the key with which the log is encrypted; without one it is not. 32 bytes, as they are or in hexadecimal or base64, readable by their owner only; `credential:NAME` is the systemd credential of that name",
		},
	},
	{
		path: "log.tls.ca", field: func(f *File) any { return &f.Log.TLS.Authority },
		spec: spec{
			kind: aString, unit: "file", example: `"/etc/ftnet/ca.pem"`, effect: engine, check: checkFile, also: []string{"cafile", "ca-file", "authority", "root"},
			doc: "For `ftlog:`: the authorities that may have signed the log server's certificate, in PEM form. `ftnet certs` makes all three. Files that are replaced count from the next connection on, without a restart",
		},
	},
	{
		path: "log.tls.cert", field: func(f *File) any { return &f.Log.TLS.Cert },
		spec: spec{
			kind: aString, unit: "file", example: `"/etc/ftnet/client.pem"`, effect: engine, check: checkFile, also: []string{"certificate", "cert-file"},
			doc: "For `ftlog:`: the engine's certificate. It names the services that the log server lets it log",
		},
	},
	{
		path: "log.tls.key", field: func(f *File) any { return &f.Log.TLS.Key },
		spec: spec{
			kind: aString, unit: "file", example: `"/etc/ftnet/client.key"`, effect: engine, check: checkFile, also: []string{"keyfile", "private-key"},
			doc: "For `ftlog:`: the key of `log.tls.cert`",
		},
	},
	{
		path: "log.tls.server-name", field: func(f *File) any { return &f.Log.ServerName },
		spec: spec{
			kind: aString, defText: "the host of `log.url`", example: `"log.example"`, effect: engine, also: []string{"sni", "hostname"},
			doc: "For `ftlog:`: the name that the log server's certificate must have",
		},
	},
	{
		path: "engine.interfaces", field: func(f *File) any { return &f.Engine.Interfaces },
		spec: spec{
			kind: aList, defText: "all that are up, and come up", example: `["eth0"]`, effect: engine, check: checkInterfaces, also: []string{"interface", "devices", "nic"},
			doc: "The interfaces on which services are protected that do not name theirs",
		},
	},
	{
		path: "engine.max-connections", field: func(f *File) any { return &f.Engine.MaxConnections },
		spec: spec{
			kind: anInteger, def: "65536", min: 1, max: 1 << 24, effect: engine, also: []string{"connections", "max-conns", "maxconn", "worker-connections"},
			doc: "How many connections of all services can be protected at a time",
		},
	},
	{
		path: "engine.runtime-dir", field: func(f *File) any { return &f.Engine.RuntimeDir },
		spec: spec{
			kind: aString, defText: "`$FTNET_RUNTIME_DIR` or `/run/ftnet`; `$XDG_RUNTIME_DIR/ftnet` for a user who may not write there", example: `"/run/ftnet"`, effect: engine, check: checkRuntimeDir, also: []string{"run-dir", "directory"},
			doc: "Where the engine keeps its sockets; made if it is missing. `ftnet status` and the like need the same. The flag `--runtime-dir` goes before it",
		},
	},
	{
		path: "engine.bpffs", field: func(f *File) any { return &f.Engine.BPFFS },
		spec: spec{
			kind: aString, defText: "`/sys/fs/bpf`", example: `"/sys/fs/bpf"`, effect: engine, check: checkBPFFS, also: []string{"bpf", "bpf-fs", "bpf-dir", "pins", "pin-path", "pin-dir"},
			doc: "The BPF file system in which the engine's state in the kernel is pinned, in a directory `ftnet`, so that the next engine can go on if this one is killed. Where none is mounted that takes `CAP_SYS_ADMIN`. `ftnet doctor` needs the same. The flag `--bpffs` goes before it",
		},
	},
	{
		path: "engine.mark", field: func(f *File) any { return &f.Engine.Mark },
		spec: spec{
			kind: aString, defText: "no bits", example: `"0x10/0xff"`, effect: engine, check: checkMark, also: []string{"fwmark", "firewall-mark", "so-mark"},
			doc: "Bits of the firewall mark (`VALUE/MASK`) that what ftnet sends is to have, for rule sets and `ip rule`; the other bits are those of the connection's own packets. The flag of `ftnet run` is `--mark`",
		},
	},
	{
		path: "engine.when-dead", field: func(f *File) any { return &f.Engine.WhenDead },
		spec: spec{
			kind: aChoice, choices: []string{DeadHold, DeadOpen}, def: `"hold"`, effect: engine, also: []string{"dead", "on-death", "when-killed", "on-crash", "fail"},
			doc: "What happens to connections after ftnet has been killed, or has got stuck. `hold`: nothing leaves the host that ftnet would have to judge, until there is an engine again: nothing is lost, and clients wait. `open`: after `engine.dead-after` everything passes, as if there were no ftnet: clients of a server that has ended are told, connections that go on have no protection any more",
		},
	},
	{
		path: "engine.dead-after", field: func(f *File) any { return &f.Engine.DeadAfter },
		spec: spec{
			kind: aDuration, def: `"2s"`, min: int64(500 * time.Millisecond), max: longest, effect: engine, also: []string{"dead-timeout", "grace", "after", "heartbeat"},
			doc: "For how long `open` waits for a sign of life, which the engine gives five times a second",
		},
	},
	{
		path: "engine.log-level", field: func(f *File) any { return &f.Engine.LogLevel },
		spec: spec{
			kind: aChoice, def: `"info"`, choices: []string{"trace", "debug", "info", "warn", "error", "off"}, effect: atOnce, also: []string{"verbosity", "level", "loglevel"},
			doc: "Which of ftnet's own messages are written. The flag `--log-level` goes before it",
		},
	},
}
