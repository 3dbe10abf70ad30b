// Package daemon is `ftnet serve`: it runs the services of a configuration file
// on one engine, applies changes of the file, and does what `ftnet reload`,
// `restart`, `stop`, `start` and `logs` ask for.
//
// It decides nothing about connections: that is package recovery's, one
// [recovery.Service] for each service of the file that runs. A unit is such a service,
// running or not. What the package adds is
//
//   - the difference between two configurations, and which of it needs a restart
//     through recovery (reload.go),
//   - what services write (output), and the socket for commands (admin),
//   - the conversation with the service manager (notify, watchdog.go).
package daemon
