// Package south is the south side of the spec: the deterministic core of the
// packet engine. It decides, for each protected connection, what is logged,
// how far the gate may let acknowledgments go, what is answered while the
// server is down, and how the connection is opened again against a restarted
// server. Segments, the log's upcalls, the gate's events, commands and the
// time go in; calls on [Env] and on the log come out. There is no socket, no
// goroutine and no wall clock here; the same code runs in the engine and in
// the simulation.
//
// It is not a TCP: the kernel's TCP serves the client. The core only mirrors
// what the kernel would accept (RFC 9293 section 3.10.7, RFC 7323, RFC 5961),
// so that nothing is logged that the kernel refuses.
//
// # States of a connection
//
//	            SYN (tap), SYN-ACK (gate)
//	                     │ metadata to the log
//	               SynReceived
//	                     │ metadata stable: SYN-ACK leaves      spec figure 12
//	                     ▼
//	 ┌──────────── Established ◄─────────────────────┐          figures 13–16,
//	 │ both FINs     │      │ crash                  │                 20–23
//	 │ acknowledged, │      ▼                        │ SYN-ACK of the restarted
//	 │ or RST        │    Outage ──────► Reconnecting┘ server   figure 19
//	 ▼               │      │  listening     │ crash again
//	Closed           │      │ ◄──────────────┘
//	 ▲               │      │ cannot be recovered
//	 │ expiry        │      ▼
//	 ├──────────────── Resetting   the client's RST is answered until it is gone
//	 │               │
//	 └──────────── Open            no longer protected; the gate passes all
//
// An Established connection whose server FIN was meant stays Established over
// a crash if the application had closed it: the kernel's orphan drains.
//
// # Locking
//
// A Machine is used by one goroutine at a time; its caller serializes.
package south
