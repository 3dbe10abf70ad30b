// Command benchserver is the server that package bench measures, on
// ftnet.Listen.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/lab/bench"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7000", "`address` to listen on")
	flag.Parse()
	ln, err := ftnet.Listen("tcp", *address)
	if err == nil {
		err = bench.ServeAndSay(ln)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}
