//go:build !linux

package runtimedir

import (
	"context"
	"errors"

	"github.com/ftnet/ftnet/internal/ownership"
)

// ErrPortTaken is what the error of [Ports] is when another engine protects the port.
var ErrPortTaken = errors.New("another engine protects the port")

// Ports is for Linux.
type Ports struct{}

// Claim is for Linux.
func (Ports) Claim(context.Context, ownership.Service) (ownership.Claim, error) {
	return nil, errors.ErrUnsupported
}

// PortTaken is for Linux.
func PortTaken(uint16) bool { return false }
