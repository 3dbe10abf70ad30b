package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/runtimedir"
)

// unserved is a log server that nobody is, with the files for it.
const unserved = "ftlog://127.0.0.1:21071"

func clientFiles(t *testing.T, service string) certs.Files {
	t.Helper()
	a, err := certs.Init(filepath.Join(t.TempDir(), "tls"), certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Client([]string{service}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	return certs.Files{Authority: a.Dir + "/ca.pem", Cert: a.Dir + "/client.pem", Key: a.Dir + "/client.key"}
}

// TestSignalWhileLogIsAwaited: a start that waits for the log server says so, and a
// signal ends it at once, with nothing left and no server started.
func TestSignalWhileLogIsAwaited(t *testing.T) {
	testenv.RequireRoot(t)
	tls := clientFiles(t, "app")
	for _, tt := range []struct {
		command string
		signal  syscall.Signal
		code    int
	}{
		{"run", syscall.SIGTERM, 128 + int(syscall.SIGTERM)},
		{"run", syscall.SIGINT, 128 + int(syscall.SIGINT)},
		{"serve", syscall.SIGTERM, 0},
	} {
		t.Run(tt.command+" "+tt.signal.String(), func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			args := []string{"--name", "app", "--log", unserved, "--log-ca", tls.Authority, "--log-cert", tls.Cert, "--log-tls-key", tls.Key, "--", "echo", "started"}
			if tt.command == "serve" {
				args = []string{"--config", configFile(t, "log = { url = \""+unserved+"\", tls = { ca = \""+tls.Authority+"\", cert = \""+tls.Cert+
					"\", key = \""+tls.Key+"\" } }\n[[service]]\nname = \"app\"\nmode = \"listen\"\ncommand = [\"echo\", \"started\"]\n")}
			}
			cmd := ftnetCommand(t, tt.command, base, args...)
			pr, pw, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer pr.Close()
			cmd.Stdout, cmd.Stderr = pw, pw
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			pw.Close()
			out, said := bufio.NewReader(pr), ""
			for !strings.Contains(said, "it waits for the log") {
				line, err := out.ReadString('\n')
				if said += line; err != nil {
					t.Fatal(err, said)
				}
			}
			began := time.Now()
			cmd.Process.Signal(tt.signal)
			rest, _ := io.ReadAll(out)
			cmd.Wait()
			if took := time.Since(began); took > 5*time.Second { // a question to the log server takes twice that
				t.Errorf("it took %v", took)
			}
			said += string(rest)
			if code := cmd.ProcessState.ExitCode(); code != tt.code || strings.Contains(said, "\nstarted") || strings.Count(said, "it waits") != 1 {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, said)
			}
			if dirs, err := runtimedir.List(base); err != nil || len(dirs) > 0 {
				t.Errorf("left behind: %v %v", dirs, err)
			}
		})
	}
}
