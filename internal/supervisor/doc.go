// Package supervisor runs one command and keeps it running: it starts the
// process, passes signals on, says how it ended, and starts it again with
// exponential backoff until a restart budget is used up. While Run runs, the
// command can be stopped, started, and restarted with another configuration.
//
// It is not a process manager: it knows one child, reaps nothing else (so that
// it is safe in PID 1 of a container and beside other children of the same
// program) unless the program asks for it ([Adopt]), and leaves everything that
// concerns connections to its [Hooks].
//
// The child never outlives the supervisor: it is started with SIGKILL as its
// parent-death signal. With [Config.Survive] it does, should this process be killed:
//
//	           Record           fork, exec          Record
//	(none) ─────────► intended ───────────► running ──────► recorded ◄─┐
//	  ▲                   │                    │               │       │ Find,
//	  │                   │ killed             │ killed        │killed │ TakeOver
//	  │                   ▼                    ▼               ▼       │
//	  │               Find: ErrGone     Find: by its mark, or by ──────┘
//	  └──── Forget ◄──── Clear          number and start time
//
// The next supervisor finds it by its [State] and takes it over ([Find],
// [Supervisor.TakeOver]): it is watched, signalled and killed by its pidfd, never
// by a number that could be another's. docs/architecture.md lists what can happen.
package supervisor
