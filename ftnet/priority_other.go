//go:build !linux

package ftnet

import "net"

func setPriority(*net.TCPConn, int) {}
