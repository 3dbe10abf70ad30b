// Package rawio is the packet engine: the south side of the spec, between the
// kernel's TCP and the network. It joins
//
//   - the gate (package gate): BPF at the interfaces, which stops what must not
//     leave or enter,
//   - the tap (package tap): a raw socket that sees every client segment,
//   - the injector (package inject): raw sockets that send in the name of
//     either end,
//   - the core (package south), which decides,
//
// with a log server and the journal of the server process. It neither starts
// servers nor talks to them: that is package recovery.
package rawio
