// Package logd is the log server: it puts any [logserver.Log] behind a
// listener, for the engines that package remote connects to it. The protocol is
// docs/log-protocol.md.
//
// The server adds nothing to what its store promises. It calls stable what the
// store has called stable, and keeps nothing of its own that a client could not
// tell it again: when it is killed, its clients send what was not stable to the
// next process.
//
// A peer is a TLS client certificate, which names the services whose
// connections it may see and write. Each service has one writer, the session
// that claimed it last.
package logd
