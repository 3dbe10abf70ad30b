package ftnet_test

import (
	"context"
	"io"
	"log"
	"net/http"

	"github.com/ftnet/ftnet/ftnet"
)

// An echo server that survives kill -9 under "ftnet run".
func ExampleListen() {
	ln, err := ftnet.Listen("tcp", ":7000")
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// A web server. Its replies carry the date, so their bytes are not compared;
// where there is no engine it works unprotected.
func ExampleListenConfig() {
	lc := ftnet.ListenConfig{Compare: ftnet.CompareLength, Optional: true}
	ln, err := lc.Listen(context.Background(), "tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(ln, http.FileServer(http.Dir("."))))
}
