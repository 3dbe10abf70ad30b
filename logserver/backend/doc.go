// Package backend opens the log that a URL names: in the memory of the process,
// on a disk of this host, or on a log server. It holds no log of its own.
package backend
