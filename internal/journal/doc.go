// Package journal is the record that a server process keeps of its own
// execution while it serves protected connections: in which order it accepted
// them, how long each of its reads was, what it wrote, and what
// else it took in: see [Input]. The record lives in
// shared memory (a memfd that the engine creates and passes to the server), so
// it costs no system call on the hot path and survives the server's death at
// any instruction.
//
// Two parties use it. The engine owns the memory: [Create], or [Adopt] for that
// of an engine that was killed while the server lived on; [Journal.Publish],
// [Journal.Withdraw], [Journal.PrepareRecovery], [Journal.Sweep]. The server
// process (the north side) maps it with [Open], finds the record of a
// connection it accepted with [Map.Lookup] and appends to it through [Record];
// after a restart it reads the previous execution's record back through
// [Reads], [Verifier] and [Record.Inputs].
//
// The engine trusts nothing that it finds in the memory: every index is
// checked, every walk is bounded. A server that scribbles over the journal
// spoils its own connections' recovery and nothing else.
//
// It is not a log of the client's bytes; those belong to the log server.
//
// # Crash safety
//
// Each append writes its payload first and then one 64- or 32-bit word that
// makes it count, so a SIGKILL between any two instructions leaves either the
// old record or the new one. Output is recorded before write(2) (an
// intention) and taken back when the kernel accepts less; the record therefore
// never lacks a byte that may have left. Pages that a killed process had
// allocated but not yet linked are found again by [Journal.Sweep].
package journal
