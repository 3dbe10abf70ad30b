package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// readers are what may become of those who read an engine's standard error: gone
// (a write says EPIPE, with SIGPIPE), or stopped with a pipe that is full.
var readers = map[string]func(t *testing.T) (w *os.File){
	"gone": func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		return w
	},
	"stopped": func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		fd := int(w.Fd()) // once: it makes the file blocking
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		for full := make([]byte, 4096); err == nil; {
			_, err = unix.Write(fd, full)
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		return w
	},
}

// TestLogReaderGoneRun: the engine, and the server with it, outlives who reads its
// log, and goes on to recover.
func TestLogReaderGoneRun(t *testing.T) {
	testenv.RequireRoot(t)
	for name, open := range readers {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			cmd := runCommand(t, base, "--log-level", "debug", "--name", "shell", "--", "sh", "-c", "echo $$; exec cat")
			if _, err := cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, w := bufio.NewReader(pipe), open(t)
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			last := ""
			for range 3 {
				pid, err := out.ReadString('\n') // ends with the engine
				if err != nil || pid == last {
					t.Fatal(pid, err)
				}
				last = pid
				if err := exec.Command("kill", "-SEGV", strings.TrimSpace(pid)).Run(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if text, code := command(t, "status", "--json", "--runtime-dir", base); name == "gone" && !strings.Contains(text, `"lost_lines": `) {
				t.Errorf("status does not say how many lines were lost: exit %d, %s", code, text)
			}
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() || status.ExitStatus() != 128+int(syscall.SIGTERM) {
				t.Errorf("ended like this: %v", cmd.ProcessState)
			}
		})
	}
}

// TestLogReaderGone: likewise the daemons, which log each signal.
func TestLogReaderGone(t *testing.T) {
	tls := serverFiles(t)
	for name, open := range readers {
		t.Run("logd/"+name, func(t *testing.T) {
			base := t.TempDir()
			outlives(t, open, "READY=1", exec.Command(os.Args[0], "logd", "--store", "file://"+filepath.Join(base, "store"), "--quota-total", "16MiB", "--runtime-dir", base+"/run",
				"--tls-ca", tls.Authority, "--tls-cert", tls.Cert, "--tls-key", tls.Key, "--listen", freeAddress(t)))
		})
		t.Run("serve/"+name, func(t *testing.T) {
			testenv.RequireRoot(t)
			file := configFile(t, "[[service]]\nname = \"talker\"\nmode = \"listen\"\ncommand = [\"sh\", \"-c\", \"while echo hello; do sleep 0.01; done\"]\n")
			cmd := exec.Command("sh", "-c", `ip link set lo up && exec "$0" "$@"`, os.Args[0], "serve", "--config", file, "--runtime-dir", t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			outlives(t, open, "STATUS=", cmd)
		})
	}
}

// outlives starts a daemon with such a reader and checks, when the service manager has
// been told begun, that signals do not end it.
func outlives(t *testing.T, open func(t *testing.T) *os.File, begun string, cmd *exec.Cmd) {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	w := open(t)
	cmd.Env = append(os.Environ(), mainEnv+"=1", "NOTIFY_SOCKET="+manager.LocalAddr().String())
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	expect(t, manager, begun)
	for range 3 {
		cmd.Process.Signal(syscall.SIGHUP)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	expect(t, manager, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended like this: %v", err)
	}
}
