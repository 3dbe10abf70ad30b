// Package netlab builds small networks on the real kernel: namespaces joined
// by veth pairs, with offloads left as the kernel sets them. Tests, the
// benchmark and measurements run real clients against real servers in them
// without touching the machine's own network. Everything needs root.
//
// The direct lab:
//
//	┌ ftt-…-client ──────┐                  ┌ ftt-…-server ──────┐
//	│  c0  10.77.0.1/24  ├──── veth pair ───┤  s0  10.77.0.2/24  │
//	│      fd77::1/64    │   MTU 1500/9000  │      fd77::2/64    │
//	│  lo                │   GSO, checksum  │  lo                │
//	└────────────────────┘   offload on     └────────────────────┘
//
// The impaired lab (Config.Impair) puts a relay between the two:
//
//	┌ client ┐           ┌ ftt-…-relay ──────────────────┐           ┌ server ┐
//	│  c0    ├── veth ───┤ rc ──► lose, copy, delay ──► rs ├── veth ───┤  s0    │
//	└────────┘           │    ◄── (user space, seeded) ◄── │           └────────┘
//	                     └───────────────────────────────┘
//
// The relay copies Ethernet frames between two AF_PACKET sockets. On c0 and
// s0 (and only in the impaired lab) checksum and segmentation offload of the
// *device* are off, while software GSO stays on: the stacks still build
// super-packets with partial checksums, which is what anything at tc egress
// sees, and the kernel splits and sums them on the way into the veth. So each
// frame that the relay loses or swaps is one wire-sized segment, as on a real
// link; with offload on, one loss would take 64 KiB away. Frames other than
// TCP (ARP, neighbour discovery) are never impaired.
//
// The package is not a simulation: time is real and two runs with one seed
// differ in timing. For reproducible runs see rawio/internal/rawiotest.
package netlab
