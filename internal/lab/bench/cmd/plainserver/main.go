// Command plainserver is the server that package bench measures, on net.Listen:
// the plain half, and an unmodified server. It does not contain ftnet.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/ftnet/ftnet/internal/lab/bench"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7000", "`address` to listen on")
	flag.Parse()
	ln, err := net.Listen("tcp", *address)
	if err == nil {
		err = bench.ServeAndSay(ln)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plainserver:", err)
		os.Exit(1)
	}
}
