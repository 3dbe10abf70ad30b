// Package gatetest is the gate in Go, for tests: [Model] judges IP packets in memory as the
// programs in rawio/internal/gate/bpf do. It is for no engine that protects connections.
//
// The tests of rawio/internal/gate/kernel hold Model and programs to one table of rules, and
// compare them packet by packet.
package gatetest
