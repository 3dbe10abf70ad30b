// Package procfs reads what /proc tells of other processes (proc(5)). A process
// that has ended, or that this one may not look at, has nothing: callers act on
// what they find, and what is gone needs no action.
package procfs
