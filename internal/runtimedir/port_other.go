//go:build !linux

package runtimedir

import "errors"

// ErrPortTaken is returned by ClaimPort when another engine protects the port.
var ErrPortTaken = errors.New("another engine protects the port")

// Port is the claim of one engine to a port.
type Port struct{}

// ClaimPort is for Linux.
func ClaimPort(uint16) (*Port, error) { return nil, errors.ErrUnsupported }

// PortTaken is for Linux.
func PortTaken(uint16) bool { return false }

// Close gives the port up.
func (*Port) Close() error { return nil }
