package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// TestQuotaTotal: when the log has no room at all, connections wait for it and
// new ones are not answered; both go on when there is room again.
func TestQuotaTotal(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--quota", "512KiB", "--quota-total", "1MiB"}})
	a, b, c := r.dial(), r.dial(), r.dial()
	b.echo("hello")
	c.echo("hello")
	others := []*client{a, b, r.dial(), r.dial()} // the latter use up what is kept for the likes of them
	for _, x := range others {
		if _, err := x.fill(1 << 20 / lineSize); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v, want a time-out", err)
		}
	}
	// What is left is too little for a connection's worth.
	n, err := c.fill(1 << 20 / lineSize)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d lines, %v; want a time-out", n, err)
	}
	d := r.waitStatus("the log says that it is full", func(d *status.Document) bool { return d.Log.FullEvents > 0 })
	if !strings.Contains(d.Log.Status, "low-space") {
		t.Errorf("%+v", d.Log)
	}
	dialled := make(chan *client, 1)
	go func() {
		defer close(dialled) // dial may end this goroutine
		dialled <- r.dial()
	}()
	r.waitOutput("new connection is not answered")
	a.abort()
	x := <-dialled
	if x == nil {
		return
	}
	x.echo("hello")
	c.expect(filler(n))
	c.echo("goes on")
}

// TestQuotaTotalUnprotects: a log without room does not keep anybody from
// being served.
func TestQuotaTotalUnprotects(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--quota", "1MiB", "--quota-total", "1MiB", "--on-full", "unprotect"}})
	a, idle := r.dial(), r.dial()
	idle.echo("hello")
	if _, _, err := a.fillBy(2<<20/lineSize, 64); err != nil {
		t.Fatal(err)
	}
	r.waitOutput("connection is not protected")
	x := r.dial()
	if _, _, err := x.fillBy(2<<20/lineSize, 64); err != nil {
		t.Fatal(err)
	}
	r.crash()
	idle.echo("protected all the time")
}
