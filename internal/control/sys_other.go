//go:build !linux

package control

import (
	"errors"
	"net"
)

func rights(int) ([]byte, error)                     { return nil, errors.ErrUnsupported }
func parseRights([]byte) (int, error)                { return -1, nil }
func closeFD(int)                                    {}
func credentials(*net.UnixConn) (Credentials, error) { return Credentials{}, errors.ErrUnsupported }

// CloseFD closes the descriptor of a Welcome.
func CloseFD(int) {}
