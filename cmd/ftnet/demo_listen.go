package main

import "net"

// demoListen is the one line in which the demo's server differs from a plain one.
var demoListen = net.Listen
