package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The test binary is also the command, so that the demo can start itself.
const mainEnv = "FTNET_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command runs the command in a process of its own.
func command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestMainMessages(t *testing.T) {
	if out, code := command(t, "run"); code != exitUsage || !strings.Contains(out, "ftnet: COMMAND is missing") || !strings.Contains(out, "'ftnet run --help'") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := command(t); code != 0 || !strings.Contains(out, "ftnet demo") || strings.Contains(out, "demo-server") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestDemoWithoutFtnet: everything of the demo but the engine.
func TestDemoWithoutFtnet(t *testing.T) {
	out, code := command(t, "demo", "--without-ftnet", "--loopback", "--length", "1s", "--kills", "2")
	if code != exitFailed || !strings.Contains(out, "2, and clients noticed") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestDemoInterrupted: Ctrl-C ends it early, in order.
func TestDemoInterrupted(t *testing.T) {
	cmd := exec.Command(os.Args[0], "demo", "--without-ftnet", "--loopback", "--length", "1h", "--kills", "0")
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	var out strings.Builder
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	limit := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer limit.Stop()
	buf := make([]byte, 4096)
	for interrupted := false; ; {
		n, err := r.Read(buf) // ends when every process of the demo has ended
		out.Write(buf[:n])
		if err != nil {
			break
		}
		if !interrupted && strings.Contains(out.String(), "serves") {
			interrupted = true
			cmd.Process.Signal(os.Interrupt)
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "0 of 0") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
