// Package demo is what `ftnet demo` shows: a stateful server that is killed
// again and again while clients talk to it. It has three parts that know little
// of each other: the workload (server and clients, each in a process of its
// own), the director (starts them, kills, collects), and the view (what a person
// sees of it). It is not a benchmark.
package demo
