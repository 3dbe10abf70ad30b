// Package gatetest is the gate in Go, for tests: [Model] judges IP packets in memory as the
// programs in rawio/gate/bpf do. It is for no engine that protects connections.
//
// The tests of rawio/gate/kernel hold Model and programs to one table of rules, and
// compare them packet by packet.
package gatetest
