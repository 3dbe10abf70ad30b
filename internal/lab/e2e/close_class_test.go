package e2e

import (
	"io"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// TestCloseClass: a reply whose connection is closed behind it keeps its class in
// pfifo_fast, beside a download that takes all of a slow link: it takes about as long as
// that of a server that knows nothing of ftnet.
func TestCloseClass(t *testing.T) {
	const (
		reply = 200 << 10
		tries = 3
		limit = 5 * time.Second
	)
	r := probe(t, options{})
	plain := r.lab.Server.Command(binary(t, "probe"), "-mode", "plain", "-listen", ":7003")
	plain.Stdout, plain.Stderr = &r.out, &r.out
	if err := plain.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Process.Kill(); _ = plain.Wait() })
	r.waitOutput("ready")
	shell(t, r.lab.Server, `
		tc qdisc add dev s0 root handle 1: tbf rate 40mbit burst 64k latency 100ms
		tc qdisc replace dev s0 parent 1: handle 2: pfifo_fast`)
	saturating := r.dial()
	saturating.send("write 50000000")
	if _, err := io.CopyN(io.Discard, saturating.in, 1<<20); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, saturating.in)
	took := func(address string) time.Duration {
		t.Helper()
		c := r.dialTo(fromClient(r), address)
		began := time.Now()
		c.SetDeadline(began.Add(limit))
		c.send("write 204800\nclose")
		n, err := io.Copy(io.Discard, c.in)
		if err != nil || n < reply {
			t.Errorf("%s: %d bytes, %v", address, n, err)
		}
		return time.Since(began)
	}
	for range tries {
		p, f := took(netlab.Server4.String()+":7003"), took(probeAddress)
		t.Logf("plain %v, protected %v", p, f)
	}
}
