// Probe is the server of the scenario tests: a line-based protocol whose
// commands bring a connection into the states that a test wants to crash in.
// See commands.go. At SIGUSR1 it closes its listeners and listens again. With
// -mode it knows nothing of ftnet, and has one process or many; see modes.go.
//
// Its exit status is 4 if there is no engine, and 3 if it crashes on demand.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/ftnet"
)

var (
	address  = flag.String("listen", ":7002", "addresses to listen on, separated by commas")
	length   = flag.Bool("compare-length", false, "compare lengths only")
	optional = flag.Bool("optional", false, "listen without an engine, too")
	gate     = flag.String("gate", "", "start only when this file does not exist")
	crash    = flag.String("crash", "", "file with the number of recovered connections whose first read ends the process")
	mode     = flag.String("mode", "", "without ftnet: plain, fork, shared or reuseport")
	workers  = flag.Int("workers", 3, "of the modes that have some")
	heavy    = flag.Int64("heavy", 0, "MiB of a file in memory that a worker opens after its listener: closing it takes time")
	late     = flag.String("late", "", "accept a second late if this file exists")
	deferred = flag.Int("defer", 0, "TCP_DEFER_ACCEPT, in seconds")
	tells    = flag.Bool("tell", false, "print which process serves which client, as without ftnet")
	foreign  = flag.Bool("transparent", false, "IP_TRANSPARENT")
)

const (
	exitCrash    = 3
	exitNoEngine = 4
)

func main() {
	flag.Parse()
	waitGate()
	if *mode != "" {
		log.Fatal(runMode(*mode))
	}
	config := ftnet.ListenConfig{Optional: *optional, Control: control}
	if *length {
		config.Compare = ftnet.CompareLength
	}
	listeners := listen(config)
	log.Print("ready")
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGUSR1)
	for range again {
		for _, ln := range listeners {
			if err := ln.Close(); err != nil {
				log.Fatal(err)
			}
		}
		listeners = listen(config)
		log.Print("listening again")
	}
}

func listen(config ftnet.ListenConfig) (list []net.Listener) {
	for a := range strings.SplitSeq(*address, ",") {
		ln, err := config.Listen(context.Background(), "tcp", a)
		if err != nil {
			log.Print(err)
			if errors.Is(err, ftnet.ErrNoEngine) {
				os.Exit(exitNoEngine)
			}
			os.Exit(1)
		}
		go accept(ln)
		list = append(list, ln)
	}
	return list
}

func accept(ln net.Listener) {
	beLate()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		if *tells {
			log.Printf("pid %d serves %s", os.Getpid(), conn.RemoteAddr())
		}
		go serve(conn.(*ftnet.Conn))
	}
}

// control sets what is asked for of a listening socket.
func control(_, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if *deferred > 0 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, *deferred)
		}
		if *foreign {
			err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1))
		}
	})
	return errors.Join(cerr, err)
}

// beLate lets the queue of the listener grow.
func beLate() {
	if _, err := os.Stat(*late); *late != "" && err == nil {
		time.Sleep(time.Second)
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

// crashing is held to the end of the process by the one that ends it.
var crashing sync.Mutex

// maybeCrash ends the process in the middle of a recovery. Without ftnet
// nothing tells that it is one but that the file was written.
func maybeCrash(conn net.Conn) {
	c, ok := conn.(*ftnet.Conn)
	if *crash == "" || ok && !c.Recovered() {
		return
	}
	crashing.Lock()
	defer crashing.Unlock()
	if _, err := os.Stat(*crash); err != nil || decrement(*crash) == 0 {
		return
	}
	os.Exit(exitCrash)
}
