// Package bench measures what ftnet costs: the same server on net.Listen and
// on ftnet.Listen under "ftnet run", each in its own lab (package netlab) of a
// client and a server namespace joined by a veth pair with all offloads on.
// Rounds alternate between the two, so that drift of the machine meets both.
//
// The pieces are three programs. The driver (cmd/bench) builds the other
// two, opens the labs and prints the table. The server (cmd/benchserver) speaks
// the small protocol of this package. The client is the driver's own binary,
// started anew inside the client namespace for every measurement.
//
// Servers and clients are processes of their own because their CPU time is
// measured, and because one of the measurements is to kill the server.
package bench
