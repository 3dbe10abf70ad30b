// Package control is the conversation between a server process (the north
// side) and the engine over a unix stream socket, whose path the server finds
// in the environment variable [EnvPath]. It carries what is rare: which ports
// to protect, the journal's descriptor, and the logged bytes that a restarted
// handler reads. What happens for each read and write goes through the journal
// instead and needs no message.
//
// Each request is answered before the next one on the same connection. A
// process has one control connection, whose end tells the engine that the
// process is gone, and further data connections for reading the log, so that
// bulk reads do not delay control.
//
// An engine that ends on purpose says so; one that is killed cannot. If it had
// said that it returns, the process waits for the next engine at the same path
// and introduces itself there, with the journal's descriptor and its listeners:
// see [Session] for the states, [Successor] for the engine's part, and
// docs/architecture.md for all that can happen. Listeners are announced as a
// whole set, see [Announcement]; what is new in it [Server] tells its handler.
package control

// EnvPath is the environment variable that holds the path of the engine's socket.
const EnvPath = "FTNET_ENGINE"
