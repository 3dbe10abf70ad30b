// Package bpf is the gate in C, and what clang has made of it: the programs at tc ingress
// and egress, the tap's filter and the program that runs when a socket is released
// (gate.c and what it includes), with the maps through which the engine steers them.
//
// The generated half of the package gives out their specifications. What the maps hold is
// written down in the headers; rawio/internal/gate and rawio/internal/gate/kernel have the same in Go, and
// [Layout] is the number of that agreement. Nothing is loaded here.
package bpf
