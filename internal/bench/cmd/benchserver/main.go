// Command benchserver is the server that package bench measures.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/bench"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7000", "`address` to listen on")
	plain := flag.Bool("plain", false, "use net.Listen instead of ftnet.Listen")
	flag.Parse()
	listen := ftnet.Listen
	if *plain {
		listen = net.Listen
	}
	ln, err := listen("tcp", *address)
	if err == nil {
		fmt.Printf(bench.ReadyFormat, os.Getpid())
		err = bench.Serve(ln)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}
