//go:build !linux

package runtimedir

import (
	"errors"
	"net"
)

// now is for Linux.
func now() (uint64, error) { return 0, errors.ErrUnsupported }

func claim(string) (*net.UnixConn, error) { return nil, errors.ErrUnsupported }

// claimed cannot find out, and says yes.
func claimed(string) bool { return true }
