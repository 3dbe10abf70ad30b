//go:build linux

package controltest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Process is the test's own binary, started once more in another role: it is told
// lines, and says some.
type Process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// Start starts one; the environment says which role it has. It is killed when the test
// ends.
func Start(t testing.TB, env ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), env...)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	p.in, p.out = in, bufio.NewReader(out)
	return p
}

// Tell sends it a line.
func (p *Process) Tell(words ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, words...); err != nil {
		p.t.Fatal(err)
	}
}

// Hear waits for a line that begins like this, and returns the rest of it.
func (p *Process) Hear(want string) string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), want)
	if !ok {
		p.t.Fatalf("the process says %q, %v, want %q", line, err, want)
	}
	return rest
}

// Expect waits for this line.
func (p *Process) Expect(want string) {
	p.t.Helper()
	if rest := p.Hear(want); rest != "" {
		p.t.Fatalf("the process says %q, want %q", want+rest, want)
	}
}

// Rest returns what it says until it ends.
func (p *Process) Rest() string {
	rest, _ := io.ReadAll(p.out)
	return string(rest)
}

// Kill ends it, if it lives.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // also a second time
}
