// Package logdaemon is `ftnet logd`: a log server with its store, its status
// page and its conversation with the service manager. What it says to engines
// is package logserver/logd's.
package logdaemon
