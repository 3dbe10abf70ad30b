package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpConn is what *ftnet.Conn and *net.TCPConn have in common.
type tcpConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
	SetWriteBuffer(bytes int) error
	SyscallConn() (syscall.RawConn, error)
}

// serve answers the commands of one client:
//
//	echo TEXT   is answered by TEXT
//	write N     is answered by N bytes; "wrote N" is printed when the kernel has them
//	whoami      is answered by the process's user id
//	stack       is answered by what the kernel's TCP negotiated
//	half        half-closes: no reply can follow
//	abort       resets the connection (SetLinger 0)
//	close       closes it at once
//	crash       ends the process as a crash, now and in each replay
//	exit        ends the process with status 0
//	differ      is answered by a line that is another in each process
//	dates       likewise, but of equal length
//	urgent      is answered by a byte of urgent data and a line
//	shrink FILE is answered by as many x as the number in the file, which is then one less
//
// After half, what the client still sends is counted and printed at its end.
func serve(conn tcpConn) {
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
		case "write":
			write(conn, text)
		case "whoami":
			fmt.Fprintln(conn, os.Getuid())
		case "stack":
			fmt.Fprintln(conn, stack(conn))
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
		case "crash":
			os.Exit(exitCrash)
		case "exit":
			os.Exit(0)
		case "differ":
			fmt.Fprintf(conn, "process %d of %s\n", os.Getpid(), conn.RemoteAddr())
		case "shrink":
			fmt.Fprintln(conn, strings.Repeat("x", decrement(text)))
		case "dates":
			fmt.Fprintf(conn, "%020d\n", time.Now().UnixNano())
		case "urgent":
			if err := sendUrgent(conn); err != nil {
				log.Print(err)
			}
			fmt.Fprintln(conn, "said")
		}
	}
}

func sendUrgent(conn tcpConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
	return errors.Join(cerr, err)
}

// decrement returns the number in a file and leaves one less there.
func decrement(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err == nil {
		err = os.WriteFile(file, []byte(strconv.Itoa(max(n-1, 0))), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func write(conn tcpConn, text string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		log.Print(err)
		return
	}
	_ = conn.SetWriteBuffer(4 * n) // so that a client that does not read does not matter
	m, err := conn.Write(pattern(n))
	fmt.Println("wrote", m, err)
}

// pattern is n bytes that differ from each other within any short distance.
func pattern(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%07d\n", i)
	}
	return b[:n]
}

// stack tells what both ends agreed on, as the server's kernel knows it.
func stack(conn tcpConn) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil || err != nil {
		return fmt.Sprint(cerr, err)
	}
	const negotiated = 1 | 2 | 4 | 8 // timestamps, SACK, window scaling, ECN
	return fmt.Sprintf("options=%d mss=%d", info.Options&negotiated, info.Snd_mss)
}
