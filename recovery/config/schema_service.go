package config

import "slices"

// serviceKeys is the schema of a [[service]]. Some keys are tables with a
// short form: restart = "never" is restart.policy = "never".
var serviceKeys = slices.Concat([]key[Service]{
	{
		path: "name", field: func(s *Service) any { return &s.Name },
		spec: spec{
			kind: aString, needed: true, example: `"web"`, effect: renew, check: checkName, also: []string{"id", "description"},
			doc: "The service in messages and commands: `ftnet restart NAME`. Letters, digits, `.`, `_` and `-`, at most 64; unique",
		},
	},
	{
		path: "mode", field: func(s *Service) any { return (*string)(&s.Mode) },
		spec: spec{
			kind: aChoice, needed: true, choices: []string{"listen", "unmodified"}, effect: renew, also: []string{"type", "kind"},
			doc: "`listen`: the server calls `ftnet.Listen`. `unmodified`: any other binary",
		},
	},
	{
		path: "listen", field: func(s *Service) any { return &s.Listen },
		spec: spec{
			kind: aList, unit: "addresses", example: `[":7000"]`, effect: restart, check: checkListen, also: []string{"port", "ports", "address", "addresses", "bind", "listen-stream"},
			doc: "The addresses that the server listens on: `:PORT`, `IPv4:PORT` or `[IPv6]:PORT`. Required for `unmodified`. A server of mode `listen` may not listen on others, if this is given. A port belongs to one service, whatever the address",
		},
	},
	{
		path: "command", field: func(s *Service) any { return &s.Command },
		spec: spec{
			kind: aList, needed: true, example: `["./server", "-v"]`, effect: restart, check: checkCommand, also: []string{"cmd", "exec", "exec-start", "program", "run", "entrypoint"},
			doc: "Program and arguments; no shell. A name without a slash is looked up in ftnet's `PATH`, a relative path begins at `dir`. It must stay in the foreground. When the program's file was replaced, a reload counts that as a change",
		},
	},
	{
		path: "args", field: func(s *Service) any { return &s.Args },
		spec: spec{
			kind: aList, example: `["-v"]`, effect: restart, also: []string{"arguments", "argv", "options"},
			doc: "More arguments, after those of `command`",
		},
	},
	{
		path: "env", field: func(s *Service) any { return &s.Env },
		spec: spec{
			kind: aMap, example: `{ LANG = "C" }`, effect: restart, check: checkEnv, also: []string{"environment", "environ", "variables"},
			doc: "Variables that are added to ftnet's environment or replace one there",
		},
	},
	{
		path: "dir", field: func(s *Service) any { return &s.Dir },
		spec: spec{
			kind: aString, defText: "the directory of the file", example: `"/srv/web"`, effect: restart, check: checkDir, also: []string{"directory", "cwd", "chdir", "workdir", "working-dir", "working-directory", "root"},
			doc: "The working directory. A relative path begins at the directory of the file",
		},
	},
	{
		path: "user", field: func(s *Service) any { return &s.User },
		spec: spec{
			kind: aString, defText: "that of ftnet", example: `"www-data"`, effect: restart, check: checkUser, also: []string{"uid", "group", "gid", "run-as", "account"},
			doc: "Whom the server runs as: `USER` or `USER:GROUP`, names or numbers. The engine keeps its privileges",
		},
	},
	{
		path: "groups", field: func(s *Service) any { return &s.Groups },
		spec: spec{
			kind: aList, defText: "those that the user is in; none if `user` names a group", example: `["ssl-cert"]`, effect: restart, check: checkGroups, also: []string{"supplementary-groups", "supplementarygroups"},
			doc: "Supplementary groups, in place of those that the user is in; names or numbers. `[]` for none",
		},
	},
	{
		path: "ready", field: func(s *Service) any { return &s.Ready.Probe },
		spec: spec{
			kind: aChoice, alias: true, choices: probes, defText: "`\"listening\"`", effect: atOnce,
			doc: "Short for `ready.probe`",
		},
	},
	{
		path: "ready.probe", field: func(s *Service) any { return &s.Ready.Probe },
		spec: spec{
			kind: aChoice, choices: probes, def: `"listening"`, effect: atOnce, also: []string{"type", "check", "healthcheck", "readiness", "readiness-probe"},
			doc: "When a started server counts as ready, so that its connections are recovered. `listening`: when it listens on its addresses; without `listen` those that it asks for, and for 5 seconds after its last listener has come those at which clients of the process before wait. `tcp`: when it listens and a connection to `ready.address` is accepted. `command`: when it listens and `ready.command` ends with status 0. A server of mode `listen` has its connections as soon as it listens, whatever the probe says",
		},
	},
	{
		path: "ready.address", field: func(s *Service) any { return &s.Ready.Address },
		spec: spec{
			kind: aString, unit: "address", defText: "the first of `listen`", example: `"127.0.0.1:8080"`, effect: atOnce, check: checkProbeAddress, also: []string{"port", "tcp"},
			doc: "Where the probe `tcp` connects to",
		},
	},
	{
		path: "ready.command", field: func(s *Service) any { return &s.Ready.Command },
		spec: spec{
			kind: aList, example: `["/usr/local/bin/is-web-up"]`, effect: atOnce, check: checkCommand, also: []string{"exec", "cmd"},
			doc: "What the probe `command` runs, with the service's user, directory and environment. It cannot ask the service's own ports: during an outage they answer the probe `tcp` only",
		},
	},
	{
		path: "ready.interval", field: func(s *Service) any { return &s.Ready.Interval },
		spec: spec{
			kind: aDuration, def: `"100ms"`, min: shortest, max: longest, effect: atOnce, also: []string{"period", "every"},
			doc: "The time between two probes",
		},
	},
	{
		path: "ready.timeout", field: func(s *Service) any { return &s.Ready.Timeout },
		spec: spec{
			kind: aDuration, def: `"1s"`, min: shortest, max: longest, effect: atOnce, also: []string{"time-out"},
			doc: "How long one probe may take. A probe that takes longer has failed and is repeated",
		},
	},
	{
		path: "restart", field: func(s *Service) any { return &s.Restart.Policy },
		spec: spec{
			kind: aChoice, alias: true, choices: policies, defText: "`\"on-crash\"`", effect: atOnce, also: []string{"restart-policy"},
			doc: "Short for `restart.policy`",
		},
	},
	{
		path: "restart.policy", field: func(s *Service) any { return &s.Restart.Policy },
		spec: spec{
			kind: aChoice, choices: policies, def: `"on-crash"`, effect: atOnce, also: []string{"when"},
			doc: "When the server is started again after its process has ended: `on-crash`: unless it ended with status 0; `always`: then, too; `never`",
		},
	},
	{
		path: "restart.limit", field: func(s *Service) any { return &s.Restart.Limit },
		spec: spec{
			kind: anInteger, def: "25", min: -1, max: 1 << 20, effect: atOnce, also: []string{"burst", "max", "count", "retries", "max-retries", "restart-limit", "start-limit-burst"},
			doc: "How many restarts may happen within `restart.window`; one more ends the service. `-1`: any number; `0`: none",
		},
	},
	{
		path: "restart.window", field: func(s *Service) any { return &s.Restart.Window },
		spec: spec{
			kind: aDuration, def: `"20s"`, min: shortest, max: longest, effect: atOnce, also: []string{"restart-window", "start-limit-interval", "period"},
			doc: "The window of `restart.limit`",
		},
	},
	{
		path: "restart.backoff", field: func(s *Service) any { return &s.Restart.Backoff },
		spec: spec{
			kind: aDuration, def: `"10ms"`, min: shortest, max: longest, effect: atOnce, also: []string{"delay", "restart-sec"},
			doc: "The delay before the second restart in a row, doubled for each one after that. The first one has no delay",
		},
	},
	{
		path: "restart.backoff-max", field: func(s *Service) any { return &s.Restart.BackoffMax },
		spec: spec{
			kind: aDuration, def: `"500ms"`, min: shortest, max: longest, effect: atOnce, also: []string{"max-delay", "max-backoff"},
			doc: "The longest delay",
		},
	},
	{
		path: "stop.signal", field: func(s *Service) any { return &s.StopSignal },
		spec: spec{
			kind: aSignal, def: `"TERM"`, effect: atOnce, also: []string{"stop-signal", "kill-signal", "kill"},
			doc: "What asks the server to stop: " + "`ABRT`, `HUP`, `INT`, `KILL`, `QUIT`, `TERM`, `USR1`, `USR2` or `WINCH`, with or without `SIG`. nginx ends its connections properly on `QUIT` only",
		},
	},
	{
		path: "stop.timeout", field: func(s *Service) any { return &s.StopTimeout },
		spec: spec{
			kind: aDuration, def: `"10s"`, min: shortest, max: longest, effect: atOnce, also: []string{"stop-timeout", "timeout-stop-sec", "grace", "grace-period"},
			doc: "When it has not stopped by then, it is killed",
		},
	},
	{
		path: "drain", field: func(s *Service) any { return &s.Drain },
		spec: spec{
			kind: aDuration, def: `"5s"`, min: 0, max: longest, effect: atOnce, also: []string{"drain-timeout", "linger"},
			doc: "How long closing connections are served after the server has stopped; then they are reset. `0s`: not at all",
		},
	},
	{
		path: "interfaces", field: func(s *Service) any { return &s.Interfaces },
		spec: spec{
			kind: aList, alias: true, defText: "those of `engine.interfaces`", example: `["eth0"]`, effect: engine, check: checkInterfaces, also: []string{"interface", "device", "nic", "bind-to-device"},
			doc: "The interfaces on which the service is protected. The engine has one set of interfaces for all its services: they must agree",
		},
	},
	{
		path: "quota", field: func(s *Service) any { return &s.Quota },
		spec: spec{
			kind: aSize, def: `"64MiB"`, min: MinQuota, max: largest, effect: atOnce, also: []string{"log-quota", "log-size", "max-log", "memory"},
			doc: "How much of a client's data is kept for one connection. A change counts for new connections",
		},
	},
	{
		path: "on-full", field: func(s *Service) any { return &s.OnFull },
		spec: spec{
			kind: aChoice, choices: []string{"close-window", "unprotect", "reset"}, def: `"close-window"`, effect: atOnce, also: []string{"full", "when-full", "on-quota", "overflow"},
			doc: "What happens to a connection at the end of its quota: `close-window`: the client can send no more; `unprotect`: it goes on, its next crash ends it; `reset`: the client gets a RST",
		},
	},
	{
		path: "log", field: func(s *Service) any { return &s.Log.Keep },
		spec: spec{
			kind: aChoice, choices: []string{KeepFull, KeepOff}, def: `"full"`, effect: atOnce, also: []string{"policy", "logging", "log-policy"},
			doc: "How much of a connection's input is kept to be replayed: all of it (`full`), none (`off`), or that since the connection was last idle (`log.since`). [Each has its risk](#how-much-is-kept). A change counts for new connections",
		},
	},
	{
		path: "log.since", field: func(s *Service) any { return &s.Log.Keep },
		spec: spec{
			kind: aChoice, alias: true, choices: []string{KeepIdle}, effect: atOnce, example: `"idle"`, also: []string{"from", "keep"},
			doc: "`idle`: what came before the last moment at which all input was answered and acknowledged for `log.idle` is dropped. For `unmodified` only, and [only for servers without state in a connection](#how-much-is-kept)",
		},
	},
	{
		path: "log.idle", field: func(s *Service) any { return &s.Log.Idle },
		spec: spec{
			kind: aDuration, def: `"1s"`, min: shortest, max: longest, effect: atOnce, also: []string{"idle-time", "time", "timeout"},
			doc: "How long a connection must be idle. It must exceed the longest pause within a reply",
		},
	},
	{
		path: "log.when-down", field: func(s *Service) any { return &s.Log.WhenDown },
		spec: spec{
			kind: aChoice, choices: []string{DownHold, DownUnprotect}, def: `"hold"`, effect: atOnce, also: []string{"down", "on-down", "unreachable", "when-unreachable", "on-failure"},
			doc: "What happens to connections while the log makes nothing stable, because the log server cannot be reached or the disk has failed. `hold`: nothing is acknowledged until it does; clients are slowed down by the window, and nothing is lost. `unprotect`: after `log.down-after` they go on without protection",
		},
	},
	{
		path: "log.down-after", field: func(s *Service) any { return &s.Log.DownAfter },
		spec: spec{
			kind: aDuration, def: `"10s"`, min: shortest, max: longest, effect: atOnce, also: []string{"down-timeout", "after", "grace"},
			doc: "How long something of a connection may wait for the log before `unprotect` lets it go on",
		},
	},
	{
		path: "compare", field: func(s *Service) any { return &s.Compare },
		spec: spec{
			kind: aChoice, choices: []string{"strict", "length"}, defText: "`\"strict\"`", effect: atOnce, also: []string{"verify", "check"},
			doc: "How the restarted server's output is compared with what the client has: `strict`: byte by byte; `length`: only how much it is, for replies that differ in details of equal length, such as nginx's `Date` header. For `unmodified` only; with mode `listen` the server chooses (`ftnet.ListenConfig.Compare`)",
		},
	},
}, limitKeys())

var (
	probes   = []string{"listening", "tcp", "command"}
	policies = []string{"always", "on-crash", "never"}
)
