package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
)

// runCommand is `ftnet run` with the real engine in a network namespace that
// ends with it.
func runCommand(t *testing.T, base string, args ...string) *exec.Cmd {
	return ftnetCommand(t, "run", base, args...)
}

// ftnetCommand is runCommand for another command.
func ftnetCommand(t *testing.T, command, base string, args ...string) *exec.Cmd {
	testenv.RequireTool(t, "ip")
	cmd := exec.Command("sh", append([]string{"-c", `ip link set lo up && exec "$0" "$@"`,
		os.Args[0], command, "--runtime-dir", base, "--log-level", "warn"}, args...)...)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return cmd
}

func TestRunEnds(t *testing.T) {
	testenv.RequireRoot(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"-- echo hello", 0, "hello"},
		{"--user nobody -- id -u", 0, "65534"},
		{"--restart-limit 2 -- sh -c 'exit 3'", exitGaveUp, "3 crashes"},
		{"--restart-limit 0 -- sh -c 'kill -SEGV $$'", exitGaveUp, "segmentation fault"},
		{"-- ftnet-no-such-command", exitNotFound, "ftnet-no-such-command"},
		{"-- /etc/passwd", exitNotRunnable, "permission denied"},
		{"--user ftnet-nobody -- true", exitNotRunnable, "ftnet-nobody"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			base := t.TempDir()
			flags, command, _ := strings.Cut(tt.args, "-- ")
			args := append(strings.Fields(flags), "--")
			if script, ok := strings.CutPrefix(command, "sh -c "); ok {
				args = append(args, "sh", "-c", strings.Trim(script, "'"))
			} else {
				args = append(args, strings.Fields(command)...)
			}
			cmd := runCommand(t, base, args...)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.says) {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, out)
			}
			if dirs, err := runtimedir.List(base); err != nil || len(dirs) > 0 {
				t.Errorf("left behind: %v %v", dirs, err)
			}
		})
	}
}

// startShell runs a command that prints its process id and then reads its
// standard input to the end. out ends when it has ended.
func startShell(t *testing.T, base string) (cmd *exec.Cmd, out *bufio.Reader, shell int) {
	t.Helper()
	cmd = runCommand(t, base, "--name", "shell", "--", "sh", "-c", "echo $$; exec cat")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	out = bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if shell, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	return cmd, out, shell
}

// TestRunStopped: SIGTERM goes through, and the way the command ends by it is
// ftnet's own.
func TestRunStopped(t *testing.T) {
	testenv.RequireRoot(t)
	base := t.TempDir()
	cmd, _, shell := startShell(t, base)
	docs, err := fetchAll(context.Background(), []string{base}, "shell")
	for end := time.Now().Add(10 * time.Second); err == nil && len(docs) == 1 && docs[0].Process.PID == 0 && time.Now().Before(end); {
		docs, err = fetchAll(context.Background(), []string{base}, "shell") // the shell is quicker than the news of its start
	}
	if err != nil || len(docs) != 1 {
		t.Fatal(docs, err)
	}
	if p := docs[0].Process; p.PID != shell || p.State != status.ProcessStarting {
		t.Errorf("%+v, want pid %d", p, shell)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit %d", code)
	}
}

// TestEngineKilled: the command dies with its engine, and the next engine
// removes what was left.
func TestEngineKilled(t *testing.T) {
	testenv.RequireRoot(t)
	base := t.TempDir()
	cmd, out, _ := startShell(t, base)
	dirs, err := runtimedir.List(base)
	if err != nil || len(dirs) != 1 || !dirs[0].Alive {
		t.Fatal(dirs, err)
	}
	cmd.Process.Kill()
	if _, err := io.Copy(io.Discard, out); err != nil { // the command has died, too
		t.Error(err)
	}
	cmd.Wait()
	if err := runCommand(t, base, "--", "true").Run(); err != nil {
		t.Fatal(err)
	}
	if dirs, err := runtimedir.List(base); err != nil || len(dirs) > 0 {
		t.Errorf("left behind: %v %v", dirs, err)
	}
}
