// Package notify tells the service manager that started this process how it is
// doing: sd_notify(3), a datagram of VARIABLE=value lines to the unix socket
// named in NOTIFY_SOCKET. Without a service manager it does nothing.
//
// It is no more than what a daemon with Type=notify-reload and WatchdogSec=
// needs; a library for it would bring a D-Bus client's module along.
package notify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Variables of the environment that are meant for this process alone: what it
// starts must not inherit them.
var Variables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// sendTimeout is how long the service manager may take to make room in its
// socket; it is busy then, and the next message will tell it.
const sendTimeout = time.Second

// Notifier sends messages. Nil is valid and sends none.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Open returns a notifier for the service manager that the environment names:
// nil if there is none. getenv is os.Getenv.
func Open(getenv func(string) string) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' && path[0] != '@' { // "@": an abstract address, for package net too
		return nil, fmt.Errorf("NOTIFY_SOCKET: %q is neither a path nor an abstract unix socket", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	if n.watchdog, err = watchdog(getenv); err != nil {
		conn.Close()
		return nil, err
	}
	return n, nil
}

// watchdog returns how often the manager wants to hear that the process works,
// 0 if it does not.
func watchdog(getenv func(string) string) (time.Duration, error) {
	usec := getenv("WATCHDOG_USEC")
	if usec == "" {
		return 0, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil // meant for the process that started this one
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(time.Duration(1<<63-1)/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC: %q is not a number of microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// WatchdogInterval is how often to call [Notifier.Watchdog]: twice in the time
// after which the manager acts, as sd_watchdog_enabled(3) advises. 0: never.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Ready says that all services listen, at first and after each Reloading.
func (n *Notifier) Ready(status string) error {
	return n.send("READY=1", "STATUS="+oneLine(status))
}

// Reloading says that the configuration is being read again. Ready must follow.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	// The manager compares it with when it asked, on this very clock.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the process is about to end.
func (n *Notifier) Stopping(status string) error {
	return n.send("STOPPING=1", "STATUS="+oneLine(status))
}

// Status sets the line that the manager shows.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + oneLine(status)) }

// Watchdog says that the process works.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// Close gives the socket up.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

func (n *Notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// oneLine keeps a status from becoming a second variable.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
