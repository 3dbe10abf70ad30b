package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// client is one connection to the probe server.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

const probeAddress = "10.77.0.2:7002"

func (r *rig) dial() *client {
	r.t.Helper()
	return r.dialTo(fromClient(r), probeAddress)
}

func (r *rig) dialTo(dial dialer, address string) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := dial(ctx, "tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return &client{t: r.t, Conn: c, in: bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) expect(want string) {
	c.t.Helper()
	got, err := c.in.ReadString('\n')
	if err != nil || got != want+"\n" {
		c.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (c *client) echo(text string) {
	c.t.Helper()
	c.send("echo " + text)
	c.expect(text)
}

func (c *client) expectEOF() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Fatalf("got %q, %v; want the end of the stream", b, err)
	}
}

// abort has the kernel send a RST.
func (c *client) abort() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.Close()
}

// expectReset waits for a RST, less long than for the answer to a keepalive.
func (c *client) expectReset() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("got %q, %v; want a reset", b, err)
	}
}

func probe(t testing.TB, o options, args ...string) *rig {
	return start(t, o, "probe", append([]string{"-listen", ":7002"}, args...)...)
}

// crash kills the server and waits until it has recovered.
func (r *rig) crash() {
	r.t.Helper()
	r.kill()
	r.recovered()
}

func TestHalfCloseByClientInOutage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	c := r.dial()
	c.echo("before")
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool { return conns(d, "outage") == 1 })
	c.send("echo after")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	openGate(t, gate)
	c.expect("after")
	c.expectEOF()
}

func TestHalfCloseByClientBeforeCrash(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	c := r.dial()
	c.send("half")
	c.expectEOF()
	c.send("more")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.waitStatus("the connection has ended", ended)
	r.crash()
	r.dial().echo("the next")
}

func TestHalfCloseByServerThenCrash(t *testing.T) {
	r := probe(t, options{})
	c := r.dial()
	c.echo("before")
	c.send("half")
	c.expectEOF()
	r.crash()
	r.crash()
	for range 3 {
		c.send("12345")
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.waitStatus("the connection has ended", ended)
	if !strings.Contains(r.out.String(), "half 18 <nil>") {
		t.Errorf("the server did not read the client's bytes to their end")
	}
}

func TestAbortReachesClient(t *testing.T) {
	r := probe(t, options{})
	for _, crashes := range []int{0, 1, 2} {
		c := r.dial()
		c.echo("before")
		for range crashes {
			r.crash()
		}
		c.send("abort")
		c.expectReset()
	}
}

func TestIdleOutage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	idle, keepalive := r.dial(), r.dial()
	if err := keepalive.Conn.(*net.TCPConn).SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}); err != nil {
		t.Fatal(err)
	}
	idle.echo("before")
	keepalive.echo("before")
	closeGate(t, gate)
	r.kill()
	// The length of the outage is what is tested: it outlasts every probe.
	pause(30 * time.Second)
	openGate(t, gate)
	idle.echo("after")
	keepalive.echo("after")
}

func TestSYNInOutageIsAnswered(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool {
		return len(d.Services) == 1 && d.Services[0].State == status.ServiceOutage
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { r.dial().echo("hello") })
	}
	r.waitStatus("SYNs are held", func(d *status.Document) bool { return d.Gate.Reasons["syn_held"] >= 20 })
	openGate(t, gate)
	wg.Wait()
}

// TestCrashDuringHandshake dials while the server is killed again and again,
// so that crashes fall between SYN, SYN-ACK, ACK and Accept.
func TestCrashDuringHandshake(t *testing.T) {
	r := probe(t, options{flags: []string{"--restart-limit", "-1"}})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					c := r.dial()
					c.echo(fmt.Sprint(i, n))
					c.Close()
				}
			}
		})
	}
	for range 15 {
		pause(20 * time.Millisecond)
		r.kill()
	}
	r.recovered()
	close(stop)
	wg.Wait()
}

func TestCrashDuringRecovery(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crash")
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := probe(t, options{}, "-crash", file)
	var clients []*client
	for i := range 10 {
		c := r.dial()
		c.echo(fmt.Sprint("before ", i))
		clients = append(clients, c)
	}
	if err := os.WriteFile(file, []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.kill()
	r.waitStatus("the server has crashed three more times", func(d *status.Document) bool {
		return d.Process.Restarts >= 4 && d.Process.State == status.ProcessRunning
	})
	for i, c := range clients {
		c.echo(fmt.Sprint("after ", i))
	}
}

// TestDoubleCrash kills each process as soon as the status page names it.
func TestDoubleCrash(t *testing.T) {
	r := probe(t, options{flags: []string{"--restart-limit", "-1"}})
	var clients []*client
	for i := range 10 {
		c := r.dial()
		c.echo(fmt.Sprint("before ", i))
		clients = append(clients, c)
	}
	shortest := time.Hour
	for range 6 {
		r.kill()
		first := time.Now()
		r.kill()
		shortest = min(shortest, time.Since(first))
		r.recovered()
		for i, c := range clients {
			c.echo(fmt.Sprint("after ", i))
		}
	}
	t.Logf("shortest time between two kills: %v", shortest)
}

func TestMismatchResets(t *testing.T) {
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
	want := fmt.Sprintf("offset=%d ", len("0123456789\n")+same)
	if !strings.Contains(r.out.String(), want) {
		t.Errorf("the log does not name the first difference, %q", want)
	}
}

func TestCompareLength(t *testing.T) {
	r := probe(t, options{}, "-compare-length")
	c := r.dial()
	c.send("dates")
	if _, err := c.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.crash()
	c.echo("still here")
}

// ended reports whether no connection is left but in its TIME-WAIT.
func ended(d *status.Document) bool { return conns(d, "lingering") == len(d.Connections) }

func closeGate(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func openGate(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
