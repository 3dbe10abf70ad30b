// Probe is the server of the scenario tests: a line-based protocol whose
// commands bring a connection into the states that a test wants to crash in.
//
//	echo TEXT   is answered by TEXT
//	half        half-closes: no reply can follow
//	abort       resets the connection (SetLinger 0)
//	close       closes it at once
//	differ      is answered by a line that is another in each process
//	dates       likewise, but of equal length
//
// After half, what the client still sends is counted and printed at its end.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/ftnet"
)

var (
	address = flag.String("listen", ":7002", "address to listen on")
	length  = flag.Bool("compare-length", false, "compare lengths only")
	gate    = flag.String("gate", "", "start only when this file does not exist")
	crash   = flag.String("crash", "", "file with the number of recovered connections whose first read ends the process")
)

func main() {
	flag.Parse()
	waitGate()
	config := ftnet.ListenConfig{}
	if *length {
		config.Compare = ftnet.CompareLength
	}
	ln, err := config.Listen(context.Background(), "tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn.(*ftnet.Conn))
	}
}

// waitGate polls: nothing tells a process of a file that another removes
// without more machinery than this test program is worth.
func waitGate() {
	for *gate != "" {
		if _, err := os.Stat(*gate); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func serve(conn *ftnet.Conn) {
	defer conn.Close()
	maybeCrash(conn)
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		command, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch command {
		case "echo":
			fmt.Fprintln(conn, text)
		case "half":
			if err := conn.CloseWrite(); err != nil {
				log.Print(err)
			}
			n, err := io.Copy(io.Discard, in)
			fmt.Println("half", n, err)
			return
		case "abort":
			_ = conn.SetLinger(0)
			return
		case "close":
			return
		case "differ":
			fmt.Fprintf(conn, "process %d of %s\n", os.Getpid(), conn.RemoteAddr())
		case "dates":
			fmt.Fprintf(conn, "%020d\n", time.Now().UnixNano())
		}
	}
}

// maybeCrash ends the process in the middle of a recovery.
func maybeCrash(conn net.Conn) {
	if *crash == "" || !conn.(*ftnet.Conn).Recovered() {
		return
	}
	b, err := os.ReadFile(*crash)
	if err != nil {
		return
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n <= 0 {
		return
	}
	if err := os.WriteFile(*crash, []byte(strconv.Itoa(n-1)), 0o600); err != nil {
		log.Fatal(err)
	}
	os.Exit(3)
}
