package main

import "github.com/ftnet/ftnet/ftnet"

// demoListen is the one line in which the demo's server differs from a plain one.
var demoListen = ftnet.Listen
