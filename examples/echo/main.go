// Echo sends back what it gets. Run it under ftnet and kill it as you like:
//
//	ftnet run -- echo -listen :7000
//
// The only difference from a plain server is ftnet.Listen instead of
// net.Listen.
package main

import (
	"flag"
	"io"
	"log"
	"net"

	"github.com/ftnet/ftnet/ftnet"
)

func main() {
	address := flag.String("listen", ":7000", "address to listen on")
	flag.Parse()
	ln, err := ftnet.Listen("tcp", *address) // plain: net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", ln.Addr())
	log.Fatal(serve(ln))
}

func serve(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if _, err := io.Copy(conn, conn); err != nil {
				log.Print(conn.RemoteAddr(), ": ", err)
			}
		}()
	}
}
