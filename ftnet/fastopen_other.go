//go:build !linux

package ftnet

import "net"

func refuseFastOpen(*net.TCPListener) {}
