// Package rawiotest is a deterministic TCP/IP in memory for tests and for the
// simulation of the engine's core: a virtual clock, a network that loses,
// copies and reorders, and Stack, a host's TCP whose behaviour follows the
// Linux kernel where the engine depends on it. Nothing here starts a goroutine
// or looks at a wall clock; a run is a function of its seeds.
//
// What Stack takes from Linux (net/ipv4/tcp_input.c, tcp_output.c,
// tcp_minisocks.c, tcp_timer.c), because the engine meets it:
//
//   - an ACK above snd_nxt or far below snd_una is refused and answered with a
//     challenge ACK (RFC 5961, section 5), at most one each 500 ms; "far" is
//     no more than was ever acknowledged, so that a connection just opened
//     accepts no ACK below its first byte;
//   - a RST counts only if its number is exactly rcv_nxt; one elsewhere in the
//     window, and any SYN, is answered with a challenge ACK (sections 3 and 4),
//     also by the FIN_WAIT1 socket that a dead process has left;
//   - PAWS (RFC 7323, section 5), window scaling, SACK (RFC 2018), delayed
//     ACKs after a quick start, D-SACK (RFC 2883), zero-window and keepalive probes at snd_una-1, out-of-order queue;
//   - a process's death closes its sockets: FIN after what was written, or RST
//     if something was unread or not yet accepted; the orphans go on alone;
//   - new data for an orphan, and any segment for a closed port, gets a RST;
//   - ECN is granted to who asks for it (RFC 3168);
//   - half-close, simultaneous close and open, TIME_WAIT and its reuse.
//
// A test plays the same scripts against Stack and against the kernel it runs
// on, and compares every segment.
//
// It is not a kernel: no urgent data, no MTU discovery, no SYN
// cookies, and congestion control is just slow start.
//
// A run is wired by hand, which is where a gate or an engine goes in between:
//
//	clock := rawiotest.NewClock()
//	wire := rawiotest.NewNetwork(clock, seed, rawiotest.Impairment{Loss: 0.01})
//	var client, server *rawiotest.Stack
//	client = rawiotest.NewStack(clock, rawiotest.Config{Output: func(p *rawiotest.Packet) { wire.Send(p, server.Input) }})
//	server = rawiotest.NewStack(clock, rawiotest.Config{Output: func(p *rawiotest.Packet) { wire.Send(p, client.Input) }})
//	clock.Run(time.Minute, func() bool { return finished })
package rawiotest
