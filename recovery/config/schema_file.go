package config

// fileKeys is the schema of what stands outside [[service]].
var fileKeys = []key[File]{
	{
		path: "log.url", field: func(f *File) any { return &f.Log.URL },
		spec: spec{
			kind: aString, def: `"memory:"`, effect: engine, check: checkURL, also: []string{"backend", "path", "dir", "file"},
			doc: "Where the clients' bytes are kept. `memory:` is the engine's memory: it survives the servers, not the engine. It is the only one in this version",
		},
	},
	{
		path: "log.quota-total", field: func(f *File) any { return &f.Log.QuotaTotal },
		spec: spec{
			kind: aSize, defText: "a quarter of the memory", example: `"4GiB"`, min: 1 << 20, max: largest, effect: engine, also: []string{"quota", "size", "max-size", "total", "limit"},
			doc: "How much the whole log may take, for the connections of all services",
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
			kind: aString, defText: "`$FTNET_RUNTIME_DIR` or `/run/ftnet`", example: `"/run/ftnet"`, effect: engine, check: checkRuntimeDir, also: []string{"run-dir", "directory"},
			doc: "Where the engine keeps its sockets; made if it is missing. `ftnet status` and the like need the same. The flag `--runtime-dir` goes before it",
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
