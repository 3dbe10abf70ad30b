// Package output keeps what services write to their standard output and error:
// a [Capture] reads the pipes that the processes write to, a [Log] holds the
// newest lines, and any number of readers follow it, each at its own pace. A
// reader that falls behind misses lines and is told how many; it never makes
// the service wait.
//
// It is not a log file: what is older than the log's size is gone, and nothing
// survives the daemon but what lies in a pipe of [NewLasting]. Whoever needs that
// keeps the daemon's own standard error, where [Forward] sends a copy.
package output
