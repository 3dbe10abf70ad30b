#!/usr/bin/env bash
# Which server tools see when its first thread has ended and its others serve.
#
# Seen with Linux 6.18, iproute2 6.1.0 and github.com/shirou/gopsutil/v4 v4.26.10 on 2026-11-29.
#
# Guessed: a server process that accepts connections is "sleeping" or "running" for
# whoever looks at it, and its listening socket belongs to it.
#
# What happens: /proc/PID is its first thread's view. When that thread has ended by itself
# (pthread_exit in main, SYS_exit), the process lives on, yet /proc/PID/stat says "Z" and
# /proc/PID/fd is empty: gopsutil calls the process a zombie and finds its listener to be
# nobody's, and ss -p names no process. The other threads' directories,
# /proc/PID/task/TID, have all of it. Who waits for "Z" to know that a server has gone, or
# finds a server by its sockets, is wrong about such programs.
#
# Needs Go and iproute2. Everything happens on loopback.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/shirou/gopsutil/v4 GOPSUTIL
MOD
sed -i "s/GOPSUTIL/v4.26.10/" go.mod
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	psnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

func init() { runtime.LockOSThread() } // the main function has the first thread

func main() {
	if len(os.Args) > 1 {
		serve()
	}
	server := exec.Command("/proc/self/exe", "serve")
	in, err := server.StdinPipe()
	check(err)
	out, err := server.StdoutPipe()
	check(err)
	check(server.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	check(err)
	address = strings.TrimSpace(address)
	look("before", server.Process.Pid, address)
	fmt.Fprintln(in, "end")
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.Process.Pid))
		check(err)
		if strings.Contains(string(stat), ") Z ") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	look("after", server.Process.Pid, address)
	check(server.Process.Kill())
	_ = server.Wait() // it was killed
}

// serve accepts in one thread, and ends the first one when it is told to.
func serve() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(ln.Addr())
	go func() {
		for {
			c, err := ln.Accept()
			check(err)
			fmt.Fprintln(c, "hello")
			c.Close()
		}
	}()
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}

func look(when string, pid int, address string) {
	p, err := process.NewProcess(int32(pid))
	check(err)
	state, err := p.Status()
	check(err)
	owner := "nobody"
	list, err := psnet.Connections("tcp")
	check(err)
	for _, c := range list {
		if c.Status == "LISTEN" && fmt.Sprintf("%s:%d", c.Laddr.IP, c.Laddr.Port) == address && c.Pid == int32(pid) {
			owner = "the server"
		}
	}
	ss, err := exec.Command("ss", "-Hltnp", "src", address).Output()
	check(err)
	by := "nobody"
	if strings.Contains(string(ss), fmt.Sprintf("pid=%d,", pid)) {
		by = "the server"
	}
	c, err := net.Dial("tcp", address)
	check(err)
	said, err := bufio.NewReader(c).ReadString('\n')
	check(err)
	if state[0] != "zombie" {
		state[0] = "alive"
	}
	fmt.Printf("%-7s gopsutil: %s, its listener is %s's; ss -p: %s's; a client gets %q\n", when+":", state[0], owner, by, said)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
go mod tidy >/dev/null 2>&1
go build -o finding .
cat >want <<'WANT'
before: gopsutil: alive, its listener is the server's; ss -p: the server's; a client gets "hello\n"
after:  gopsutil: zombie, its listener is nobody's; ss -p: nobody's; a client gets "hello\n"
WANT
./finding >got
uname -r
ss -V
cat got
diff want got
