//go:build !linux

package ftnet

import "syscall"

func netnsCookie(syscall.RawConn) uint64 { return 0 }
