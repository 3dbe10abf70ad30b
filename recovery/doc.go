// Package recovery keeps the connections of servers alive while their processes, or the
// engine itself, end and begin anew. A [Host] is an engine with its log; a [Service] is
// one server of it, supervised: after a crash it is started again, and its connections
// are recovered.
//
// The package decides what is an outage and when it is over. It touches no packet, which
// is package rawio's, and starts no process itself, which is the supervisor's. What
// several services of a file need (reloads, commands, their output) is package daemon's.
//
// # Words
//
//   - A service is one server and how its connections are protected: a [[service]] of
//     the file, [config.Service] as a description, [Service] while it is added.
//   - A port is a TCP port of this host, a number: a service has one or more, and none
//     belongs to two services. Package rawio protects ports, and calls a port with its
//     protection a rawio.Service; the status calls it that, too, and a service a program.
//   - A program is the file that a service's command names; a process is what runs it.
//
// # From the file to the process
//
// Three types lie on the way: a description, a service, the supervisor's configuration.
//
//	  services.toml          flags of ftnet run       a Go program
//	        │ config.Load          │ config.Flags.File      │ config.NewService
//	        └──────────────┬───────┴────────────────────────┘
//	                       ▼
//	                config.Service                     all keys, with their defaults, checked
//	                       │
//	                       │ Host.Add ◄── Inherit      streams, environment, signals
//	                       ▼
//	                    Service
//	                       │
//	        ┌──────────────┴──────────────┐
//	        │ Inherit.supervise           │ Service.policy, for each port
//	        ▼                             ▼
//	supervisor.Config               rawio.Service
//	        │ supervisor.Run              │ rawio.Engine.Protect
//	        ▼                             ▼
//	   the process                  its connections
//
// # Deaths
//
// A process has one state ([State], with its transitions), from which the status page and
// package daemon derive theirs. That it has died, several witnesses tell, in any order: one
// function, died, weighs what each of them proves, and it alone declares outages.
//
// # Policies
//
// A policy has the same type all the way down (package policy). Service.Restart and
// Service.Update take another description of the same service; what a change of a key
// takes stands in the description's tags, and config.File.Diff says it.
package recovery
