package e2e

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestSYNRepeatedWithoutEngine: a client has not got its SYN-ACK when engine and server
// are killed, and sends its SYN again before there is another engine. The gate has the
// connection, the kernel has no listener: the client hears nothing of that, and is
// served when the server is there again.
func TestSYNRepeatedWithoutEngine(t *testing.T) {
	t.Parallel()
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			r := prepare(t, options{})
			m := m.over(onDisk, r)
			m.spawn(r)
			r.onClient("nft", "add table inet lost; add chain inet lost in { type filter hook input priority 0; };"+
				"add rule inet lost in tcp flags & (syn | ack) == syn | ack drop")
			before := r.repeated()
			type result struct {
				net.Conn
				err error
			}
			dialled := make(chan result, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				c, err := fromClient(r)(ctx, "tcp", probeAddress)
				dialled <- result{c, err}
			}()
			r.waitStatus("the SYN-ACK has left", func(d *status.Document) bool {
				return len(d.Services) == 1 && d.Services[0].HalfOpen == 1
			})
			r.killBoth()
			r.onClient("nft", "delete table inet lost")
			for deadline := time.Now().Add(20 * time.Second); r.repeated() == before; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the client does not send its SYN again")
				}
			}
			// What leaves for it arrives in microseconds: longer than for that nobody
			// can wait for what is not to come.
			select {
			case d := <-dialled:
				t.Fatalf("without an engine the client gets %v", d.err)
			case <-time.After(100 * time.Millisecond):
			}
			m.start(r)
			d := <-dialled
			if d.err != nil {
				t.Fatal(d.err)
			}
			c := r.talks(d.Conn)
			c.echo("hello")
			r.crash()
			c.echo("protected")
		})
	}
}

// onClient runs a command on the client's host.
func (r *rig) onClient(name string, args ...string) string {
	r.t.Helper()
	out, err := r.lab.Client.Command(name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// repeated is how many segments the client's host has sent again.
func (r *rig) repeated() string {
	r.t.Helper()
	rows := strings.Split(r.onClient("cat", "/proc/self/net/snmp"), "\n")
	for i := 1; i < len(rows); i++ {
		names, values := strings.Fields(rows[i-1]), strings.Fields(rows[i])
		for k := range names {
			if names[0] == "Tcp:" && names[k] == "RetransSegs" && k < len(values) {
				return values[k]
			}
		}
	}
	r.t.Fatalf("no RetransSegs in\n%s", strings.Join(rows, "\n"))
	return ""
}
