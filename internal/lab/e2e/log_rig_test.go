package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/status"
)

// A backend is where the engine of a test keeps its log.
type backend struct {
	name string
	// flags begins what the log needs, and returns what `ftnet run` needs.
	flags func(r *rig, service string) []string
}

var (
	inMemory = backend{"memory", func(*rig, string) []string { return nil }}

	// Logs that outlive the engine.
	onDisk = backend{"disk", func(r *rig, _ string) []string { return onDevice(r.t) }}
	remote = backend{"remote", func(r *rig, service string) []string { return startLogServer(r, service).flags() }}

	lasting = []backend{onDisk, remote}

	encrypted = backend{"encrypted", func(r *rig, _ string) []string {
		return append(onDevice(r.t), "--log-key", newLogKey(r.t))
	}}
)

// deviceTotal is how much the logs on a device may take: a new one fills files with zeros
// beforehand, of the default size a quarter of a GiB.
const deviceTotal = "512MiB"

// onDevice returns flags for a log in a directory of the test's.
func onDevice(t testing.TB) []string {
	return []string{"--log", "file://" + t.TempDir(), "--quota-total", deviceTotal}
}

// onDeviceTOML is the part of a configuration that says the same.
func onDeviceTOML(t testing.TB) string {
	return fmt.Sprintf("[log]\nurl = \"file://%s\"\nquota-total = %q\n", t.TempDir(), deviceTotal)
}

// logServer is a log server in the namespace of the clients: for the engine that
// is another host, with mutual TLS in between.
type logServer struct {
	r      *rig
	certs  string
	store  string
	total  string // that it may take
	cmd    *netlab.Cmd
	out    output
	exited chan error
}

const logPort = "7070"

func (l *logServer) address() string { return net.JoinHostPort(netlab.Client4.String(), logPort) }

// startLogServer starts one that keeps its log on disk, and knows an engine that
// has these services. It ends with the test.
func startLogServer(r *rig, services ...string) *logServer {
	r.t.Helper()
	return logServerIn(r, r.t.TempDir(), deviceTotal, services...)
}

// logServerIn is startLogServer for a log in this directory, which may take so much.
func logServerIn(r *rig, store, total string, services ...string) *logServer {
	r.t.Helper()
	l := &logServer{r: r, certs: filepath.Join(r.t.TempDir(), "tls"), store: store, total: total}
	a, err := certs.Init(l.certs, certs.Options{})
	if err == nil {
		_, err = a.Server([]string{netlab.Client4.String()}, certs.Options{})
	}
	if err == nil {
		_, err = a.Client(services, certs.Options{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	l.start()
	r.t.Cleanup(func() {
		l.end(syscall.SIGTERM)
		if r.t.Failed() {
			r.t.Logf("log server:\n%s", tail(l.out.String(), 8000))
		}
	})
	return l
}

// start starts it, and again after end.
func (l *logServer) start() {
	l.r.t.Helper()
	l.cmd = l.r.lab.Client.Command(binary(l.r.t, "ftnet"), "logd", "--listen", l.address(), "--store", "file://"+l.store, "--quota-total", l.total,
		"--runtime-dir", publicDir(l.r.t), "--log-level", "debug",
		"--tls-ca", l.file("ca.pem"), "--tls-cert", l.file("server.pem"), "--tls-key", l.file("server.key"))
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.out
	if err := l.cmd.Start(); err != nil {
		l.r.t.Fatal(err)
	}
	l.exited = make(chan error, 1)
	cmd, exited := l.cmd, l.exited
	go func() { exited <- cmd.Wait() }()
	l.waitListens()
}

// waitListens dials until somebody listens: the only sign that another process
// can see.
func (l *logServer) waitListens() {
	l.r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		c, err := l.r.lab.Client.DialContext(context.Background(), "tcp", l.address())
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-l.exited:
			l.exited <- err
			l.r.t.Fatalf("the log server has ended: %v\n%s", err, &l.out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	l.r.t.Fatalf("the log server does not listen\n%s", &l.out)
}

// end ends it by a signal.
func (l *logServer) end(signal syscall.Signal) {
	l.r.t.Helper()
	_ = l.cmd.Process.Signal(signal) // it may have ended
	select {
	case err := <-l.exited:
		l.exited <- err
	case <-time.After(20 * time.Second):
		_ = l.cmd.Process.Kill()
		l.r.t.Error("the log server did not end within 20 s")
	}
}

func (l *logServer) file(name string) string { return filepath.Join(l.certs, name) }

// flags are those of `ftnet run` that name the log server.
func (l *logServer) flags() []string {
	return []string{"--log", "ftlog://" + l.address(),
		"--log-ca", l.file("ca.pem"), "--log-cert", l.file("client.pem"), "--log-tls-key", l.file("client.key")}
}

// logStatus waits until the engine says of its log what is wanted, such as
// "ok" or "unreachable".
func (r *rig) logStatus(want string) {
	r.t.Helper()
	r.waitStatus("the log is "+want, func(d *status.Document) bool { return strings.Contains(d.Log.Status, want) })
}
