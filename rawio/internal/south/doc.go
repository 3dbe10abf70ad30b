// Package south is the south side of the spec: the deterministic core of the
// packet engine. It decides, for each protected connection, what is logged,
// how far the gate may let acknowledgments go, what is answered while the
// server is down, and how the connection is opened again against a restarted
// server. Segments, the log's upcalls, the gate's events, commands and the
// time go in; calls on the log and on four interfaces come out: [Network], [Gate],
// [Record] and [Kernel]. There is no socket, no
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
//	 │ RST           │      │ crash                  │                 20–23
//	 │               │      ▼                        │ SYN-ACK of the restarted
//	 │  both FINs    │    Outage ──────► Reconnecting┘ server   figure 19
//	 │  acknowledged,│      │  listening     │ crash again
//	 │  and the      │      │ ◄──────────────┘
//	 │  application  │      │ cannot be recovered
//	 ▼  has closed   ▼      ▼
//	Closed ◄── Lingering  Resetting   its segments are answered for a while:
//	 ▲            │         │         by the last ACK, or by a RST
//	 └────────────┴─────────┘ expiry
//
// Open, reached from Established, is no longer protected; the gate passes all.
// Each state is entered by one function in state.go, where the table says from which others.
// Connections that an earlier engine has left in the log begin in Outage: see
// restore.go. Those whose server has outlived it continue where they were: see
// adopt.go.
//
// A half-open one, Established before the client has answered the SYN-ACK, waits in Outage
// for that: see halfopen.go. When the kernel has the socket of a connection that is
// opened again: see third_ack.go.
//
// An Established connection that the application had closed stays Established
// over a crash: the kernel's orphaned socket drains. One whose FINs are exchanged but
// which the application has not closed is recovered only so that the application can read the rest;
// nothing more passes between it and the client.
//
// # Whose ACKs
//
// The kernel acknowledges, the gate holds ACKs of what is not stable, and the core
// sends the held ACK when it is. In three more cases the core sends ACKs, never
// above the kernel's: the client
// retransmits while the gate holds the kernel's answers (the log is
// behind, or the tap has missed data); the restarted server has not yet sent
// what the old one had, so that the client refuses its ACKs, whose sequence numbers are old;
// and the connection is over but the client has missed the last ACK,
// which in plain TCP would have come with the server's FIN.
//
// # Effects
//
// What a call of the Machine does to the world happens in the call, in this order:
//
//   - Slots, Gate, Record, Kernel and ToServer at once, where it is decided: when the kernel
//     answers, the gate must have the new state. A mode is stored after all fields that it
//     makes the gate read; image.go lists those.
//   - The log at once. The caller keeps its upcalls for Stable.
//   - Stable, High and the ACKs that follow from a batch of segments and upcalls in Flush, once for
//     each connection that the batch has touched: see flushLive for the order of the two words and
//     of the held ACK. Adopt, Crash, Listening, Release, Restore and Tick end with Flush; after
//     all others the caller calls it.
//   - ToClient and Forward when the Machine has returned: the network sends them together,
//     in the order of the calls. So no ACK leaves before the slot has the same number.
//
// # Locking
//
// A Machine is used by one goroutine at a time; its caller serializes.
package south
