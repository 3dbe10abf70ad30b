package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runMode runs the server in one of the ways in which servers that know nothing
// of ftnet share a port and its connections among processes. Which process has
// a connection is printed: "pid PID serves CLIENT".
func runMode(name string) error {
	switch name {
	case "plain": // one process
		return plain()
	case "fork": // one for each connection
		return fork()
	case "shared": // some, which share a listener
		return shared()
	case "reuseport": // some, each with a listener of its own
		return reuseport()

	// What the former start.
	case "connection":
		return connection()
	case "acceptor":
		return acceptor()
	case "worker":
		return worker()
	}
	return fmt.Errorf("unknown mode %q", name)
}

// inherited is the descriptor that a process gets from its parent.
const inherited = 3

// plain serves all connections in this process. At SIGUSR2 it executes itself
// anew and keeps the listener; the connections are closed.
func plain() error {
	config := net.ListenConfig{Control: control}
	ln, err := config.Listen(context.Background(), "tcp", *address)
	if err != nil {
		return err
	}
	log.Print("ready")
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGUSR2)
	go func() {
		<-again
		log.Fatal(executeAnew(ln.(*net.TCPListener)))
	}()
	return acceptAll(ln)
}

func executeAnew(ln *net.TCPListener) error {
	f, err := ln.File()
	if err != nil {
		return err
	}
	if err := unix.Dup2(int(f.Fd()), inherited); err != nil { // without close-on-exec
		return err
	}
	return syscall.Exec("/proc/self/exe", []string{os.Args[0], "-mode", "acceptor"}, os.Environ())
}

func acceptAll(ln net.Listener) error {
	beLate()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go announce(conn.(*net.TCPConn))
	}
}

func announce(conn *net.TCPConn) {
	log.Printf("pid %d serves %s", os.Getpid(), conn.RemoteAddr())
	serve(conn)
}

// fork starts a process for each connection, and closes its own descriptor.
func fork() error {
	ln, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	log.Print("ready")
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		f, err := conn.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		child, err := spawn("connection", f)
		conn.Close()
		f.Close()
		if err != nil {
			return err
		}
		go report(child)
	}
}

// connection serves the one that it was started for.
func connection() error {
	f := os.NewFile(inherited, "connection")
	conn, err := net.FileConn(f) // a duplicate: the original would keep the connection open
	if err != nil {
		return err
	}
	f.Close()
	announce(conn.(*net.TCPConn))
	os.Exit(0)
	return nil
}

func shared() error {
	ln, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	ln.Close()
	return keep("acceptor", f)
}

func reuseport() error { return keep("worker", nil) }

// keep starts the workers, and again those that crash.
func keep(mode string, listener *os.File) error {
	for range *workers {
		child, err := spawn(mode, listener)
		if err != nil {
			return err
		}
		go func() {
			for report(child) != 0 {
				if child, err = spawn(mode, listener); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	select {}
}

// acceptor accepts from the listener that it inherits.
func acceptor() error {
	f := os.NewFile(inherited, "listener")
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	f.Close()
	log.Printf("pid %d is ready", os.Getpid())
	return acceptAll(ln)
}

// worker has one of many listeners on the port.
func worker() error {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(cerr, err)
	}}
	ln, err := config.Listen(context.Background(), "tcp", *address)
	if err != nil {
		return err
	}
	if err := openHeavy(*heavy << 20); err != nil {
		return err
	}
	log.Printf("pid %d is ready", os.Getpid())
	return acceptAll(ln)
}

// openHeavy opens a file whose memory is freed when it is closed.
func openHeavy(size int64) error {
	if size == 0 {
		return nil
	}
	fd, err := unix.MemfdCreate("heavy", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Fallocate(fd, 0, 0, size)
}

// spawn starts this program in another mode. The children end with this
// process only if somebody sees to it.
func spawn(mode string, inherit *os.File) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", "-mode", mode, "-listen", *address, "-crash", *crash, "-heavy", fmt.Sprint(*heavy))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if inherit != nil {
		cmd.ExtraFiles = []*os.File{inherit}
	}
	return cmd, cmd.Start()
}

// report waits for a child and prints how it ended.
func report(child *exec.Cmd) (status int) {
	_ = child.Wait() // the state says the same
	fmt.Printf("pid %d ended: %v\n", child.Process.Pid, child.ProcessState)
	return child.ProcessState.ExitCode()
}
