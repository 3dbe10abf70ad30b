// Package logserver is the stable storage of protected connections: what was
// negotiated when a connection began, every byte that its client sent, the
// lengths in which the server read them, and whether the client has finished.
// A restarted server is rolled forward from it (the spec, "log server 508").
//
// [Log] is the interface, written so that a backend may be local or remote:
// bytes are copied before a call returns, and stability is announced later, by
// an upcall; no method on the way of a client's bytes waits for a device.
// Package memory is the backend that lives in the engine's process: it survives
// the server's process, not the engine's. The suite in logtest says what any
// backend must do.
//
// The package is not for the server's output: that is never logged, because a
// restarted server says it again. Nor does it know TCP: offsets are 64-bit
// positions in the client's byte stream, where 0 is the first byte after the
// SYN, and putting segments in order is the caller's work.
package logserver
