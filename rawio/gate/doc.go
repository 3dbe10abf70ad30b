// Package gate holds back what must not leave the host yet. It is a pair of
// BPF programs at tc ingress and egress of the service's interfaces, the maps
// through which the engine steers them, and a Go model with the same judgment.
//
// In the steady state all packets stay in the kernel. The engine moves two
// numbers per connection in a memory-mapped [Slot]: the highest ACK number that
// may leave, and the translation between the sequence space of the kernel's
// socket and the one the client knows. Everything the gate cannot decide alone
// (a SYN-ACK, a FIN or RST that nobody announced) it holds and reports as an
// [Event].
//
// A server that knows nothing of the gate cannot say which FIN or RST it means.
// The kernel can: [Gate.WatchReleases] has it note in the slot how the process
// ended that let go of the socket, before the FIN or RST is made. What such a
// server sends can be captured whole, as an [Output]: before it leaves
// ([FlagRecord]), or instead ([ModeRoll]).
//
// The gate outlives its engine. It goes on judging with what the slots last said,
// for as long as it has been told to wait for a sign of life ([Config].DeadAfter):
// for ever, or until it lets everything pass and marks what can no longer be
// protected ([Slot.Opened]). Its pins in a BPF file system ([Config].BPFFS) lead the
// next engine to it, which takes it over ([Adopt]).
//
// The gate is no firewall and keeps no state machine of its own: which mode a
// connection is in, and when it changes, is the engine's business. What the engine
// sends itself is known by its socket ([Gate.Own]) and is never judged.
//
// Linux 5.12 or newer is needed (BPF atomics, ring buffer, mmapable arrays);
// [Supported] says what is missing. WatchReleases needs Linux 5.14, type
// information (BTF) and cgroup2; see [ReleaseFeatures].
package gate
