//go:build plain

package main

import "net"

var listen = net.Listen
