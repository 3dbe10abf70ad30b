package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// logServer is a running "ftnet logd".
type logServer struct {
	cmd     *netlab.Cmd
	ended   chan error
	runtime string // its runtime directory
}

// startLogServer starts a log server in the client's namespace and returns once
// it listens.
func (w *world) startLogServer(store, certs string) (*logServer, error) {
	// The paths of sockets are short.
	runtime, err := os.MkdirTemp("", "ftnl")
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(netlab.Client4.String(), logPort)
	cmd := w.lab.Client.Command(w.programs.Ftnet, "logd", "--listen", address, "--store", store, "--quota-total", "10GiB",
		"--tls-ca", filepath.Join(certs, "ca.pem"), "--tls-cert", filepath.Join(certs, "server.pem"), "--tls-key", filepath.Join(certs, "server.key"),
		"--runtime-dir", runtime)
	cmd.Stderr, cmd.Stdout = w.log, w.log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(runtime))
	}
	s := &logServer{cmd: cmd, ended: make(chan error, 1), runtime: runtime}
	go func() { s.ended <- cmd.Wait() }()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		c, err := w.lab.Client.Dial("tcp", address)
		if err == nil {
			return s, c.Close()
		}
		select {
		case err := <-s.ended:
			return nil, errors.Join(fmt.Errorf("the log server has ended: %w", err), os.RemoveAll(runtime))
		default:
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("the log server does not listen"), err, s.stop())
		}
	}
}

func (s *logServer) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	forced := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Kill() })
	defer forced.Stop()
	return errors.Join(<-s.ended, os.RemoveAll(s.runtime))
}

// cpu returns the seconds of CPU time that the server has used.
func (s *logServer) cpu() (float64, error) { return processCPU(s.cmd.Process.Pid) }

// startWith is start with this log.
func (w *world) startWith(log LogAt) error {
	args := []string{"--quota", "8GiB", "--log", log.URL}
	if log.CA == "" {
		args = append(args, "--quota-total", "10GiB")
	} else {
		args = append(args, "--log-ca", log.CA, "--log-cert", log.Cert, "--log-tls-key", log.Key)
	}
	return w.launch(w.ftnet(append(args, "--", w.programs.Server, "-listen", w.address())...))
}

// makeCerts makes an authority in dir with the certificates of a log server and
// an engine, and returns the engine's.
func makeCerts(ftnet, dir string) (LogAt, error) {
	for _, args := range [][]string{
		{"init", dir},
		{"server", dir, netlab.Client4.String()},
		{"client", dir, "--service", "*"},
	} {
		if out, err := exec.Command(ftnet, append([]string{"certs"}, args...)...).CombinedOutput(); err != nil {
			return LogAt{}, fmt.Errorf("ftnet certs %s: %w: %s", args[0], err, out)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	return LogAt{CA: file("ca.pem"), Cert: file("client.pem"), Key: file("client.key")}, nil
}
