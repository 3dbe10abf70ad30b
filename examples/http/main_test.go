package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestHTTP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer()
	defer server.Close()
	go server.Serve(ln)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := range 3 {
		reply, err := client.Get("http://" + ln.Addr().String() + "/page")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		want := fmt.Sprintf("request %d of this connection: GET /page\n", n+1)
		if err != nil || string(body) != want {
			t.Errorf("reply is %q, %v, want %q", body, err, want)
		}
	}
}
