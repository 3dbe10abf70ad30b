//go:build !linux

package caps

// Missing knows only Linux.
func Missing(...Cap) []Cap { return nil }
