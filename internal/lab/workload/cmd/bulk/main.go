// Bulk is a server that hashes uploads and streams downloads; see
// workload.ServeBulk for what it understands. With -plain it does without
// ftnet.
package main

import (
	"flag"
	"log"
	"net"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/lab/workload"
)

func main() {
	address := flag.String("listen", ":7000", "address to listen on")
	plain := flag.Bool("plain", false, "use net.Listen instead of ftnet.Listen")
	flag.Parse()
	listen := func() (net.Listener, error) { return ftnet.Listen("tcp", *address) }
	if *plain {
		listen = func() (net.Listener, error) { return net.Listen("tcp", *address) }
	}
	ln, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", ln.Addr())
	log.Fatal(workload.ServeBulk(ln, func(conn net.Conn, err error) {
		log.Print(conn.RemoteAddr(), ": ", err)
	}))
}
