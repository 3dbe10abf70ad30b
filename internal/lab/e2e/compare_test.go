package e2e

import (
	"fmt"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

func TestMismatchResets(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	good, bad := r.dial(), r.dial()
	good.echo("0123456789")
	bad.echo("0123456789")
	bad.send("differ")
	line, err := bad.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r.crash()
	good.echo("still here")
	bad.expectReset()
	d := r.waitStatus("the mismatch is counted", func(d *status.Document) bool { return d.Services[0].Mismatches == 1 })
	// The second process would have written the same but for its number.
	again := fmt.Sprintf("process %d of", d.Process.PID)
	same := 0
	for line[same] == again[same] {
		same++
	}
	r.waitOutput(fmt.Sprintf("offset=%d ", len("0123456789\n")+same)) // the first difference
}

func TestCompareLength(t *testing.T) {
	t.Parallel()
	r := probe(t, options{}, "-compare-length")
	c := r.dial()
	c.send("dates")
	if _, err := c.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.crash()
	c.echo("still here")
}
