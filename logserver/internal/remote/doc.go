// Package remote is the log that a log server keeps: the client's side of
// docs/log-protocol.md, behind the [logserver.Log] interface. One connection
// carries everything.
//
// What the log is given while the server cannot be reached waits here, within
// bounds, and so does everything that is not stable yet: it is sent again after
// a reconnect, as far as the server does not have it. Nothing is called stable
// that the server's store has not called stable.
//
// Connections whose stable part the server has lost, because its store did, are
// dropped: an upcall says that they are Gone, and calls return logserver.ErrNoConn.
package remote
