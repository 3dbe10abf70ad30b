package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

// TestShellWrapper: the supervised process is a shell that starts the server
// again and again. It does not end when the server crashes; the connections
// recover all the same.
func TestShellWrapper(t *testing.T) {
	r := start(t, options{}, "/bin/sh", "-c", `while true; do "$0" "$@"; done`, binary(t, "probe"), "-listen", ":7002")
	var clients []*client
	for i := range 5 {
		c := r.dial()
		c.echo(fmt.Sprint("before ", i))
		clients = append(clients, c)
	}
	for round := range 5 {
		r.crash()
		for i, c := range clients {
			c.echo(fmt.Sprint("after ", round, " ", i))
		}
	}
	if d := r.recovered(); d.Process.Restarts != 0 || d.Services[0].Outages != 5 {
		t.Errorf("%+v, %+v", d.Process, d.Services[0])
	}
}

// TestShellWrapperDelay: likewise where the shell takes its time.
func TestShellWrapperDelay(t *testing.T) {
	r := start(t, options{}, "/bin/sh", "-c", `while true; do "$0" "$@"; sleep 0.5; done`, binary(t, "probe"), "-listen", ":7002")
	c := r.dial()
	for i := range 3 {
		c.echo(fmt.Sprint(i))
		r.kill()
		c.echo(fmt.Sprint("during ", i))
	}
}

// TestShellWrapperUnderLoad: with clients that talk and dial all the time.
func TestShellWrapperUnderLoad(t *testing.T) {
	r := start(t, options{}, "/bin/sh", "-c", `while true; do "$0" "$@"; done`, binary(t, "counter"), "-listen", ":7000")
	steady := workload.Counter{Address: families[0].address(7000), Conns: 50, Seed: 5, Dial: fromClient(r)}
	dialled := workload.Counter{Address: families[0].address(7000), Conns: 2, Lines: 5, Redials: -1, Seed: 6, Dial: fromClient(r)}
	r.under(steady, func() {
		r.under(dialled, func() {
			for range 10 {
				pause(100 * time.Millisecond)
				r.kill()
			}
			r.recovered()
		})
	})
}
