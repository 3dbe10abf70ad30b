// Package logbench measures logs: anything that implements [logserver.Log],
// each beside the disk's own rate of sequential writes with fdatasync, in rounds
// that alternate between them. Writing, waiting and the sizes of writes are as
// the engine has them: one goroutine writes for all connections, and what a
// connection may have written without its being stable is bounded, as a TCP
// window bounds it.
package logbench
