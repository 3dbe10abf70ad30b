//go:build !plain

package main

import "github.com/ftnet/ftnet/ftnet"

var listen = ftnet.Listen // a plain server: net.Listen
