//go:build !linux

package disk

// raisePriority does nothing.
func raisePriority() {}
