package e2e

import (
	"strings"
	"testing"
)

// TestNoEngine: without an engine Listen says so.
func TestNoEngine(t *testing.T) {
	r := prepare(t, options{})
	cmd := r.lab.Server.Command(binary(t, "probe"))
	out, err := cmd.CombinedOutput()
	const exitNoEngine = 4 // of the probe: errors.Is(err, ftnet.ErrNoEngine)
	if cmd.ProcessState.ExitCode() != exitNoEngine || !strings.Contains(string(out), "ftnet run") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOptionalWithoutEngine: a listener that may do without an engine serves
// plainly, and says once that nothing is protected.
func TestOptionalWithoutEngine(t *testing.T) {
	r := prepare(t, options{})
	cmd := r.lab.Server.Command(binary(t, "probe"), "-optional", "-listen", ":7002,:7003")
	cmd.Stdout, cmd.Stderr = &r.out, &r.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.waitOutput("ready")
	c := r.dial()
	c.echo("hello")
	c.send("half")
	c.expectEOF()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n := strings.Count(r.out.String(), "without protection"); n != 1 {
		t.Errorf("the log warns %d times:\n%s", n, &r.out)
	}
}

// TestOptionalWithEngine: the same server is protected where there is one.
func TestOptionalWithEngine(t *testing.T) {
	r := probe(t, options{}, "-optional")
	c := r.dial()
	c.echo("hello")
	r.crash()
	c.echo("again")
}
