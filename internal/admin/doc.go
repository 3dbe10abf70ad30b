// Package admin is the protocol between a running `ftnet serve` and the commands
// that tell it what to do: one request for each connection to a unix socket, a
// line of JSON, answered by lines of JSON ([Message]) of which the last one
// says how it went.
//
//	→ {"version":1,"command":"restart","service":"redis"}
//	← {"said":"redis: restarted through recovery, 50 connections, 84 ms"}
//	← {"done":{}}
//
// Only root and the daemon's own user may connect; requests are bounded in size
// and time. It is an interface between the two halves of one program: the
// version says whether both are of the same make.
package admin
