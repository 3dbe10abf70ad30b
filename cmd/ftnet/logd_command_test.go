package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestLogdCommand: the log server in a process of its own, from its file, as the
// unit starts it: the service manager is told, ftnet status shows it, SIGTERM
// ends it in order.
func TestLogdCommand(t *testing.T) {
	tls, base := serverFiles(t), t.TempDir()
	file := configFile(t, "listen = [\"127.0.0.1:1\"]\nstore = \"file://"+filepath.Join(base, "store")+"\"\nquota-total = \"16MiB\"\nruntime-dir = \""+base+
		"/run\"\ntls = { ca = \""+tls.Authority+"\", cert = \""+tls.Cert+"\" }\n")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(base, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	cmd := exec.Command(os.Args[0], "logd", "--config", file, "--tls-key", tls.Key, "--listen", freeAddress(t))
	cmd.Env = append(os.Environ(), mainEnv+"=1", "NOTIFY_SOCKET="+manager.LocalAddr().String())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	expect(t, manager, "READY=1")

	docs, err := fetchAll(context.Background(), []string{base + "/run"}, "")
	if err != nil || len(docs) != 1 || docs[0].LogServer == nil {
		t.Fatalf("%v, %v", docs, err)
	}
	if l := docs[0].LogServer; l.Store.Backend != "file" || l.Store.Status != "ok" || docs[0].Engine.Name != "store" || docs[0].Engine.PID != cmd.Process.Pid {
		t.Errorf("%+v", docs[0])
	}
	var page strings.Builder
	if err := writeStatus(&page, []*status.Document{docs[0]}, 1); err != nil || !strings.Contains(page.String(), "no engine is connected") {
		t.Errorf("%v\n%s", err, page.String())
	}
	cmd.Process.Signal(syscall.SIGTERM)
	expect(t, manager, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// expect waits for what a service manager is told.
func expect(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
	for buf := make([]byte, 4096); ; {
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("%q is not told: %v", want, err)
		}
		if strings.HasPrefix(string(buf[:n]), want) {
			return
		}
	}
}

// freeAddress is one that nobody listens on, most likely.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
