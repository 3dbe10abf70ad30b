//go:build !linux

package remote

import "syscall"

func lossBased(_, _ string, _ syscall.RawConn) error { return nil }
