package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is the service manager's end.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func receive(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 4096)
	l.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := l.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func environment(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestMessages(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@ftnet-notify-test-%d", os.Getpid())} {
		t.Run(name[:1], func(t *testing.T) {
			l := manager(t, name)
			n, err := Open(environment("NOTIFY_SOCKET", name))
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			for _, tt := range []struct {
				send func() error
				want string
			}{
				{func() error { return n.Ready("2 services") }, "READY=1\nSTATUS=2 services"},
				{func() error { return n.Status("one\nREADY=0  two") }, "STATUS=one READY=0 two"},
				{n.Watchdog, "WATCHDOG=1"},
				{func() error { return n.Stopping("bye") }, "STOPPING=1\nSTATUS=bye"},
			} {
				if err := tt.send(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, l); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
			}
		})
	}
}

// TestReloading: the manager refuses a time before its request or after its
// own clock.
func TestReloading(t *testing.T) {
	now := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano() / 1000
	}
	name := filepath.Join(t.TempDir(), "notify")
	l := manager(t, name)
	n, err := Open(environment("NOTIFY_SOCKET", name))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	before := now()
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(receive(t, l), "RELOADING=1\nMONOTONIC_USEC=")
	at, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || at < before || at > now() {
		t.Errorf("%q, not within %d and %d", text, before, now())
	}
}

func TestWatchdogInterval(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager(t, name)
	self := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
		fails     bool
	}{
		{"", "", 0, false},
		{"30000000", "", 15 * time.Second, false},
		{"3000000", self, 1500 * time.Millisecond, false},
		{"3000000", "1", 0, false},
		{"soon", self, 0, true},
		{"-1", self, 0, true},
		{"9223372036854775807", self, 0, true},
	} {
		n, err := Open(environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", tt.usec, "WATCHDOG_PID", tt.pid))
		if tt.fails != (err != nil) || n.WatchdogInterval() != tt.want {
			t.Errorf("%q %q: %v %v", tt.usec, tt.pid, n.WatchdogInterval(), err)
		}
		n.Close()
	}
}

func TestNoManager(t *testing.T) {
	n, err := Open(environment())
	if n != nil || err != nil {
		t.Fatal(n, err)
	}
	err = errors.Join(n.Ready(""), n.Reloading(), n.Stopping(""), n.Status(""), n.Watchdog(), n.Close())
	if err != nil || n.WatchdogInterval() != 0 {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	for _, name := range []string{"relative", "vsock:2:1", filepath.Join(t.TempDir(), "none")} {
		if n, err := Open(environment("NOTIFY_SOCKET", name)); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
			t.Errorf("%s: %v %v", name, n, err)
		}
	}
}
