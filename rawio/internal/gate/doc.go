// Package gate is the contract between the engine and its gate, which holds back what must
// not leave the host yet: a pair of BPF programs at tc ingress and egress of the service's
// interfaces (rawio/internal/gate/bpf), which rawio/internal/gate/kernel loads and attaches, or the model of
// them in Go (rawio/internal/gate/gatetest). Nothing here makes a system call.
//
// In the steady state all packets stay in the kernel. The engine moves two
// numbers per connection in a [Slot], in memory that both share: the highest ACK number
// that may leave, and the translation between the sequence space of the kernel's
// socket and the one the client knows. Everything the gate cannot decide alone
// (a SYN-ACK, a FIN or RST that nobody announced) it holds and reports as an
// [Event].
//
// An unmodified server does not announce which FIN or RST it means.
// The kernel shows it: a gate that watches releases notes in the slot how the process that
// released the socket ended, before the FIN or RST is made ([Slot.Released]). All output of
// such a server can be captured, as an [Output]: before it leaves ([FlagRecord]), or
// instead ([ModeRoll]).
//
// The gate outlives its engine. It continues to judge by the slots' last contents, for as
// long as it is configured to wait for a heartbeat: for ever, or until it passes everything
// and marks the connections that can no longer be protected ([Slot.Opened]).
//
// The gate is no firewall and keeps no state machine of its own: which mode a
// connection is in, and when it changes, is the engine's business. What the engine
// sends itself is known by its socket ([Sender]) and is never judged.
package gate
