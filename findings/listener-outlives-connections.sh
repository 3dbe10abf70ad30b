#!/usr/bin/env bash
# In which order a killed server's sockets are closed.
#
# Seen with Linux 6.18, Go 1.26 and golang.org/x/sys v0.40.0 on 2026-11-30.
#
# Guessed: the kernel closes the files of a process that ends by number, from 0 up, so a server's
# listener goes before the connections that it has accepted: who has seen a connection end by the
# server's death, and connects again at once, is refused, or gets another listener of the port.
#
# What happens: it drops the files by number, but what closing means is put off until all
# are dropped, and then done from the last one back. The listener, which is most often
# among the first, outlives all connections by as long as it takes to close whatever the server had opened in
# between. Until then the listener of a dead process takes connections, which all die with its
# queue; with SO_REUSEPORT so do those that the other processes could have taken.
#
# The server below has a file in memory in between, of 1 GiB, so that it shows.
# Needs Go and Linux. Everything happens on loopback.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require golang.org/x/sys v0.40.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 {
		serve()
	}
	server := exec.Command("/proc/self/exe", "serve")
	out, err := server.StdoutPipe()
	check(err)
	check(server.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	check(err)
	address = address[:len(address)-1]
	old, err := net.Dial("tcp", address)
	check(err)
	one := make([]byte, 1)
	_, err = old.Read(one)
	check(err)
	fmt.Println("connected and served")

	check(server.Process.Kill())
	_, err = old.Read(one)
	fmt.Println("the connection ends:", err == io.EOF)
	again, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println("connecting again: refused")
		return
	}
	fmt.Println("connecting again: connected, to a listener of which the process is dead")
	_, err = again.Read(one)
	fmt.Println("the new connection:", err.(*net.OpError).Err.(*os.SyscallError).Err)
	_, err = net.Dial("tcp", address)
	fmt.Println("connecting once more: refused:", err != nil)
	_ = server.Wait()
}

func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fd, err := unix.MemfdCreate("between", 0)
	check(err)
	check(unix.Fallocate(fd, 0, 0, 1<<30))
	fmt.Println(l.Addr())
	c, err := l.Accept()
	check(err)
	_, err = c.Write([]byte("x"))
	check(err)
	select {}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
go mod tidy 2>/dev/null
go build -o finding .
seen=$(./finding)
echo "$seen"
diff - <(echo "$seen") <<'SEEN'
connected and served
the connection ends: true
connecting again: connected, to a listener of which the process is dead
the new connection: connection reset by peer
connecting once more: refused: true
SEEN
