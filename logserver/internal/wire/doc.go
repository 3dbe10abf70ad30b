// Package wire is the protocol between an engine and a log server:
// docs/log-protocol.md, byte by byte. It turns messages into bytes and back and
// knows neither connections nor clocks. What it decodes may come from a
// stranger: every length is checked before anything is allocated for it.
package wire
