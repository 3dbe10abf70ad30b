// Package ftnet lets a TCP server survive its own crash. [Listen] is a drop-in
// for net.Listen: under "ftnet run" the server may be killed at any moment, is
// started again, and finds its connections in Accept as if nothing had
// happened. Clients notice a pause and nothing else.
//
// A recovered connection's handler starts from the beginning: it reads the
// client's bytes again, from the engine's log and with the read lengths of the
// first time, and what it writes is compared with what the client has already
// and discarded. When it has caught up it is live; it does not notice that. The
// handler must therefore repeat itself: given the same input it must write the
// same output. Where only details of equal length differ, such as a date, a
// listener can choose [CompareLength].
//
// The package is not for clients, not for UDP, and does not make state outside
// the connections (files, databases, globals) recoverable.
//
// # When the engine has ended
//
// An engine that was killed may be started again and take its servers over, if
// it is set up so. Until then Read, Write, Close and the rest work as usual, with
// three exceptions: Listen waits, for half a minute at most; a Read of a recovered
// connection that is to be served from the engine's log waits, until its
// deadline, but ten seconds at least, or Close; and Accept returns no connection
// whose client the engine had not yet let in. An engine that ends on purpose is
// not awaited: connections continue unprotected, and the next Listen looks for
// another one.
//
// # Order
//
// Several connections of one process are replayed side by side. The order of
// reads on one connection relative to another's is not reproduced.
package ftnet
