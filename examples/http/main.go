// Http serves web pages with net/http. Each page tells which request of its
// keep-alive connection it answers. Run it under ftnet and kill it as you like:
//
//	ftnet run -- http -listen :8080
//
// The only difference from a plain server is the line that listens. Compare is
// "length" because net/http dates its replies: a restarted server repeats them
// with another Date, but equally long. The risk is that a reply which differs
// in more than its date, yet not in its length, goes unnoticed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/ftnet/ftnet/ftnet"
)

func main() {
	address := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	config := ftnet.ListenConfig{Compare: ftnet.CompareLength} // plain: net.ListenConfig{}
	ln, err := config.Listen(context.Background(), "tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", ln.Addr())
	log.Fatal(newServer().Serve(ln))
}

type requestsKey struct{}

func newServer() *http.Server {
	return &http.Server{
		// Requests of one connection come one after the other, so that a
		// plain int counts them.
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, requestsKey{}, new(int))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := r.Context().Value(requestsKey{}).(*int)
			*n++
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "request %d of this connection: %s %s\n", *n, r.Method, r.URL.Path)
		}),
	}
}
